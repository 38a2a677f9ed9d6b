"""The zero-shot command on relatives of CLIP, from a folder of files to decisions about images."""

import json
import runpy

import numpy as np
import pytest
from jax import export as jax_export
from PIL import Image

import adapt_jax
from adapt_jax import clip
from adapt_jax.config import zero_shot as zero_shot_config
from adapt_jax.export import job as export
from adapt_jax.results.scores import load_scores
from adapt_jax.workdir import bundle
from adapt_jax.zero_shot import job
from tests import commands
from tests.clip import relatives

SCALE = 22.1
DETECTORS = f"mcm?logit_scale={SCALE}&logit_bias=-3.3,neglabel?groups=3"


@pytest.mark.parametrize("name", ["siglip2_tiny"])
def test_a_folder_as_the_hub_has_it(name, tmp_path):
    folder, run, file = tmp_path / "model", tmp_path / "run", tmp_path / "mine.py"
    relatives.unpack(name, folder)
    file.write_text(
        "from adapt_jax.config.zero_shot import default_config\n"
        f"def get_config():\n    c = default_config()\n    c.clip.path = {str(folder)!r}\n"
        "    c.class_names, c.corpus.place, c.report = 'digits', 'embedded', False\n"
        "    c.test_data, c.ood = 'digits:test?classes=0-5&limit=40', 'far/a=photos?limit=20'\n"
        f"    c.detectors, c.stream.batch_size, c.image_batch_size = {DETECTORS!r}, 16, 16\n"
        "    return c\n"
    )
    done = commands.run("adapt_jax.zero_shot", f"--config={file}", f"--workdir={run}")
    assert done.returncode == 0, done.stderr
    found = json.loads((run / "results.json").read_text())
    assert {row["detector"] for row in found["rows"]} == set(DETECTORS.split(","))

    model = clip.load(folder)
    assert found["logit_scale"] == pytest.approx(model.logit_scale)
    assert found["logit_bias"] == pytest.approx(model.logit_bias)
    with np.load(run / "text" / "text.npz") as bank:
        labels, names = bank["labels"], bank["class_names"].tolist()
    direct = np.asarray(model.encode_text(model.tokenize([f"the nice {n}" for n in names])))
    length = np.linalg.norm(direct, axis=1, keepdims=True)
    np.testing.assert_allclose(labels, direct / length, atol=1e-5)

    ready = adapt_jax.load(run)
    spec = DETECTORS.partition(",")[0]
    assert ready.detector.spec.text == spec
    known = load_scores(run / "scores" / spec / "id.npz").scores
    np.testing.assert_allclose(ready.detector.calibration, known, atol=1e-6)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 47, 3), np.uint8))
    pixels = clip.pixels_uint8(picture, model.image_size, model.architecture.preprocessing)
    image = np.asarray(model.encode_image(pixels[None]))
    largest = (image / np.linalg.norm(image) @ labels.T).max()
    np.testing.assert_allclose(
        ready.score([picture]), 1 / (1 + np.exp(3.3 - SCALE * largest)), rtol=1e-4
    )


def test_an_align_is_exported(tmp_path):
    """Its images become a square before the middle is cut out, and its tower has statistics."""
    relatives.unpack("align_tiny", tmp_path / "model")
    chosen = zero_shot_config.default_config()
    chosen.clip.path, chosen.class_names = str(tmp_path / "model"), "digits"
    chosen.test_data, chosen.ood = "digits:test?classes=0-5&limit=12", "far/a=photos?limit=4"
    chosen.negatives.fraction, chosen.detectors, chosen.report = 0.0, "mcm?logit_scale=9", False
    chosen.image_batch_size = chosen.text_batch_size = 16
    job.zero_shot(chosen, str(tmp_path / "run"))
    folder = export.export(str(tmp_path / "run"), str(tmp_path / "out"), platforms=("cpu",))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 47, 3), np.uint8))
    picture.save(tmp_path / "a.png")
    (score,) = adapt_jax.load(tmp_path / "run").score([tmp_path / "a.png"])
    ready = adapt_jax.load(folder)
    np.testing.assert_allclose(ready.score([tmp_path / "a.png"]), [score], atol=1e-6)
    script = runpy.run_path(str(folder / bundle.SCRIPT))
    scorer = jax_export.deserialize(bytearray((folder / bundle.SCORER).read_bytes()))
    (record,) = script["records"]([str(tmp_path / "a.png")], scorer, None, ready.threshold)
    assert record["score"] == pytest.approx(score, abs=1e-6)
    assert "Both sides are resized to 40 (Pillow, bilinear)" in (folder / "README.md").read_text()
