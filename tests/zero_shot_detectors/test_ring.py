"""A ring holds what the end of a list would."""

import jax
import numpy as np

from adapt_jax.zero_shot_detectors import ring


def test_a_ring_is_the_end_of_a_list():
    rng = np.random.default_rng(0)
    memory, appended = ring.empty(5, 2, dtype=np.float32), []
    append = jax.jit(ring.append)
    np.testing.assert_array_equal(ring.mean(memory), [0, 0])
    for share in (0.3, 0.0, 0.1, 0.5, 1.0, 0.2):  # of batches of nine: more than a ring holds
        rows, accepted = rng.normal(size=(9, 2)).astype(np.float32), rng.random(9) < share
        memory = append(memory, rows, accepted)
        appended += list(rows[accepted])
        assert int(memory.size) == ring.filled(memory).sum() == min(len(appended), 5)
        assert int(memory.head) == len(appended) % 5
        oldest_first = np.roll(memory.rows, -int(memory.head), axis=0)[5 - int(memory.size) :]
        np.testing.assert_array_equal(oldest_first, np.reshape(appended, (-1, 2))[-5:])
        np.testing.assert_allclose(
            ring.mean(memory), np.sum(appended[-5:], axis=0) / max(memory.size, 1), atol=1e-6
        )
    assert len(appended) > 15
