"""The picture of AdaNeg's proxies shows what the stream has left, the same way every time."""

import numpy as np
import pytest
from rich.console import Console

from adapt_jax import zero_shot_detectors
from adapt_jax.core.errors import InputError
from adapt_jax.data import streams
from adapt_jax.report import proxy_figure
from adapt_jax.zero_shot import proxies, scoring
from adapt_jax.zero_shot.image_features import ImageSet
from tests.zero_shot_detectors import data

SPECS = zero_shot_detectors.parse("mcm,adaneg?groups=3&gap=0.0&memory_length=4")


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    bank = data.bank(rng)
    sets = {"id": data.images(rng, bank, 40)} | {k: data.images(rng, bank, 30) for k in "ab"}
    sets = {name: rows.astype(np.float32) for name, rows in sets.items()}
    sets = {k: ImageSet(rows, None, tuple(map(str, range(len(rows))))) for k, rows in sets.items()}
    return scoring.Task(bank, sets, {"a": "near", "b": "far"}, streams.make(batch_size=8))


@pytest.fixture(scope="module")
def panels(task):
    return proxies.panels(proxies.spec_of(SPECS), task, lambda text: None)


def test_panels_hold_what_the_stream_of_their_set_has_left(task, panels):
    assert [panel.title for panel in panels] == ["near: a", "far: b"]
    detector = zero_shot_detectors.make(SPECS[1].text)
    for panel, name in zip(panels, "ab"):
        np.testing.assert_array_equal(panel.ood_images, task.sets[name].embeddings)
        np.testing.assert_array_equal(panel.id_images, task.sets["id"].embeddings)
        rows = np.concatenate([panel.id_images, panel.ood_images])
        order = streams.order(40, 30, task.settings)
        state = detector.init(task.bank)
        for start in range(0, 70, 8):
            batch = np.zeros((8, rows.shape[1]), np.float32)
            seen = order[start : start + 8]
            batch[: len(seen)] = rows[seen]
            _, state = detector.step(state, batch, np.arange(8) < len(seen))
        labels = len(task.bank.labels)
        filled = np.asarray(state.memory.count[labels:]) > 0
        assert 0 < filled.sum() < len(filled)
        expected = np.asarray(state.proxies)[labels:][filled]
        np.testing.assert_allclose(panel.task, expected, atol=1e-6)
        assert panel.sample.shape == panel.ood_images.shape  # 30 are less than are shown at most
        np.testing.assert_allclose(np.linalg.norm(panel.sample, axis=1), 1, atol=1e-6)


def test_components_weigh_every_kind_alike(panels):
    center, axes, shares = proxy_figure.components(panels)
    kinds = [panels[0].labels, panels[0].negatives, panels[0].id_images]
    kinds += [panel.ood_images for panel in panels]
    weight = np.concatenate([np.full(len(rows), 1 / len(rows) / len(kinds)) for rows in kinds])
    rows = np.concatenate(kinds).astype(np.float64)
    np.testing.assert_allclose(center, weight @ rows)
    scaled = np.sqrt(weight)[:, None] * (rows - center)
    _, singular, right = np.linalg.svd(scaled, full_matrices=False)
    np.testing.assert_allclose(np.abs(axes.T @ right[:2].T), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(shares, (singular**2 / np.sum(singular**2))[:2])
    assert (axes[np.abs(axes).argmax(axis=0), [0, 1]] > 0).all()


def test_files_are_the_same_every_time(task, tmp_path):
    spec = proxies.spec_of(SPECS)
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        proxies.write(tmp_path / name, spec, task, lambda text: None, Console(quiet=True))
        found.append((tmp_path / name / "proxies.svg").read_bytes())
        assert (tmp_path / name / "proxies.png").stat().st_size > 10_000
    assert found[0] == found[1]
    for text in ("near: a", "far: b", "ID images", "sample-adaptive", "of the variance"):
        assert text in found[0].decode()


def test_a_picture_needs_a_detector_with_proxies():
    with pytest.raises(InputError, match="none of mcm has proxies; add adaneg"):
        proxies.spec_of(SPECS[:1])
