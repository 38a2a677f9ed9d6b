"""Figures show what a run's files hold."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from adapt_jax.core.errors import InputError
from adapt_jax.data import streams
from adapt_jax.report import figures
from adapt_jax.results import result_files, result_rows
from adapt_jax.results.evaluation import Embeddings
from adapt_jax.results.scores import path_of, save_scores

RNG = np.random.default_rng(0)
SETTINGS = streams.Settings("shuffled", 8, "all", 3)
ID, NEAR, FAR = RNG.normal(1, 1, 60), RNG.normal(0, 1, 40), RNG.normal(-5, 1, 30)
LEARNT = RNG.normal(2, 1, 60)  # what the detector that adapts says of the ID images


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    rows = []
    for detector, adaptive in (("mcm", False), ("adaneg?groups=5", True)):
        for name, group, scores in (("$x_", "near", NEAR), ("f", "far", FAR)):
            own = LEARNT if adaptive else ID
            extra = {"adaptive": adaptive, **SETTINGS.fields()}
            rows.append(result_rows.row(detector, name, group, own, scores, **extra))
            stem = f"id-{name}" if adaptive else "id"
            for file, values in ((stem, own), (name, scores)):
                path = path_of(folder, detector, file)
                save_scores(path, values, [str(i) for i in range(len(values))])
    facts = {"protocol": "p", "id": "d", "seed": 3, "method": "zero_shot", "model": "m"}
    header = result_files.header(**facts, checkpoint_sha256="ab" * 32)
    result_files.write(folder, header, rows + result_rows.mean_rows(rows))
    return folder


def test_histograms_have_a_panel_for_each_set(workdir, tmp_path):
    figure = figures.histograms(workdir, "adaneg?groups=5")
    auroc = [roc_auc_score(np.arange(60 + len(x)) < 60, [*LEARNT, *x]) for x in (NEAR, FAR)]
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [
        f"$x_ (near), AUROC {100 * auroc[0]:.1f} %",
        f"f (far), AUROC {100 * auroc[1]:.1f} %",
    ]
    figure.savefig(tmp_path / "figure.png")  # a name with a $ is no mathematics
    with pytest.raises(InputError, match="knn"):
        figures.histograms(workdir, "knn")


def test_a_stream_is_shown_in_its_order(workdir):
    above, below = figures.stream(workdir, "$x_").axes
    order = streams.order(60, 40, SETTINGS)
    shown = np.concatenate([points.get_offsets() for points in above.collections])
    scores = np.concatenate([LEARNT, NEAR]).astype(np.float32)[order]
    np.testing.assert_allclose(shown[np.argsort(shown[:, 0])][:, 1], scores)
    curves = {line.get_label(): line.get_ydata() for line in below.lines}
    assert list(curves) == ["mcm", "adaneg?groups=5"]
    static = np.concatenate([ID, NEAR]).astype(np.float32)[order]
    first = roc_auc_score(order[:10] < 60, static[:10])
    assert curves["mcm"][0] == pytest.approx(100 * first)
    with pytest.raises(InputError, match="no detector that adapts"):
        figures.stream(workdir, "$x_", ["mcm"])


def test_a_gallery_takes_grey_and_colour():
    images = [np.zeros((8, 8), np.uint8), np.zeros((4, 4, 3), np.uint8)]
    figure = figures.gallery(images, ["a", "b"], columns=3)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", ""]
    assert [len(ax.images) for ax in figure.axes] == [1, 1, 0]


def test_embeddings_show_every_set_and_class():
    vectors = {name: RNG.normal(size=(9, 4)) for name in ("id", "a", "b")}
    groups, prototypes = {"a": "near", "b": "far"}, RNG.normal(size=(2, 3, 4))
    found = Embeddings(vectors, groups, np.arange(9) % 3, ("x", "y", "z"), prototypes)
    (ax,) = figures.embeddings(found).axes
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert named == ["ID class x", "ID class y", "ID class z", "prototypes", "near OOD", "far OOD"]
    drawn = [len(points.get_offsets()) for points in ax.collections]
    assert drawn == [9, 9, 9, 6, 6, 6]  # two OOD sets, ID, and stars with two rims
    (ax,) = figures.embeddings(Embeddings({"id": vectors["id"]}, {})).axes
    assert [len(points.get_offsets()) for points in ax.collections] == [9]
