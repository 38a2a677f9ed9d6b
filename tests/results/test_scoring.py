"""The loop that scores detectors: whatever one of them dies of, the others keep their rows."""

import jax
import numpy as np
import pytest

from adapt_jax import detectors
from adapt_jax.core.errors import InputError
from adapt_jax.results import result_rows, scoring

GROUPS = {"near": "near", "far": "far", "later": "shifted"}
RNG = np.random.default_rng(0)
SCORES = {name: RNG.normal(size=20) for name in ("id", *GROUPS)}
FAILURES = (
    InputError("knn.fit: too few images"),
    np.linalg.LinAlgError("singular"),
    FloatingPointError("overflow"),
    MemoryError("no memory left"),
    jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"),
)


def raising(error):
    raise error


@pytest.mark.parametrize("error", FAILURES, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("late", [False, True], ids=["fit", "score"])
def test_a_failure_costs_one_detector_its_rows(error, late):
    def fit(spec):
        fails = spec.name == "knn"
        if fails and not late:
            raise error
        return scoring.FittedDetector((lambda: raising(error)) if fails else (lambda: SCORES))

    done = scoring.run(detectors.parse("msp,knn,mls"), fit, GROUPS)
    assert done.scores.keys() == {"msp", "mls"}
    assert [(r["detector"], r["ood"]) for r in done.rows] == [
        (detector, name) for detector in ("msp", "mls") for name in ("near", "mean", "far", "mean")
    ]
    assert str(error) in done.failed["knn"]
    with pytest.raises(InputError, match="knn"):
        scoring.run(detectors.parse("knn"), fit, GROUPS)


def test_a_mistake_in_the_program_is_not_a_failure():
    with pytest.raises(KeyError):
        scoring.run(
            detectors.parse("msp"),
            lambda spec: scoring.FittedDetector(lambda: raising(KeyError)),
            {},
        )


def test_every_stream_has_its_own_id_scores():
    streams = {
        scoring.stream_key(own, other): RNG.normal(size=20)
        for own in ("id", "later")
        for other in ("near", "far")
    }
    scores = streams | {name: SCORES[name] for name in ("near", "far")}
    fitted = scoring.FittedDetector(lambda: scores, in_streams=True, fields={"order": "shuffled"})
    rows = scoring.run(detectors.parse("msp"), lambda spec: fitted, GROUPS).rows
    for name in ("near", "far"):
        own = np.concatenate([streams[f"id-{name}"], streams[f"later-{name}"]])
        expected = result_rows.row("msp", name, name, own, SCORES[name], order="shuffled")
        assert expected in rows
