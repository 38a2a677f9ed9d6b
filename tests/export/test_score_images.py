"""The standalone script cuts images as the package does, to the bit, and refuses the same."""

import json
import os
import runpy
import shutil

import numpy as np
import pytest
from PIL import Image

from adapt_jax import predict
from adapt_jax.clip.preprocess import VARIANTS, pixels_uint8
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import file_sha256
from adapt_jax.data import decode
from adapt_jax.export import job
from tests.core.test_image_files import grey, sixteen_bit_colours

SIZE = 8


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The script an export holds, with its functions."""
    folder = tmp_path_factory.mktemp("export")
    path = shutil.copy(job.pathlib.Path(job.__file__).with_name("score.py"), folder)
    (folder / "data.json").write_text(json.dumps({"image_size": SIZE, "resize": 10}))
    (folder / "detector.json").write_text("{}")
    (folder / "scorer.stablehlo").touch()
    files = {path.name: {"sha256": file_sha256(path)} for path in folder.iterdir()}
    (folder / "card.json").write_text(json.dumps({"files": files}))
    return runpy.run_path(path)


@pytest.fixture(scope="module")
def read(script):
    return script["read"]


@pytest.mark.filterwarnings("ignore:some 16-bit images")
def test_every_kind_of_image_is_cut_alike(read, tmp_path):
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (21, 13, 3), np.uint8))
    levels = rng.integers(0, 5, (12, 17))
    levels[0, 0] = 4
    paths = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for suffix in ("jpg", "tiff"):
            paths.append(tmp_path / f"{orientation}.{suffix}")
            photo.save(paths[-1], exif=exif)
    for brightest in (255, 1023, 4095, 65535):
        for suffix in ("png", "tiff"):
            paths.append(tmp_path / f"{brightest}.{suffix}")
            grey(paths[-1], brightest, levels)
    paths.append(tmp_path / "dark.pgm")
    paths[-1].write_bytes(b"P5 17 12 65535\n" + (levels * 300).astype(">u2").tobytes())
    paths.append(tmp_path / "palette.png")
    photo.quantize(16).save(paths[-1], transparency=0)
    paths.append(tmp_path / "deep.png")
    sixteen_bit_colours(paths[-1], 65535)
    for path in paths:
        np.testing.assert_array_equal(read(str(path)), decode.read(path, SIZE, 10), str(path))


def test_folders_are_walked_as_predict_walks_them(script, tmp_path):
    (deep := tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "__MACOSX").mkdir()
    for name in ("z.png", "b/A.JPG", "b/deep/c.webp", ".hidden.png", "note.txt", "__MACOSX/m.png"):
        (tmp_path / name).touch()
    (deep / "circle").symlink_to(tmp_path)
    given = [str(tmp_path / "note.txt"), str(tmp_path)]
    found = script["expanded"](given)
    assert found == [str(path) for path in predict.expand(given)]
    assert len(found) == 4
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="has no image in it"):
        script["expanded"]([str(empty)])


@pytest.mark.parametrize("variant", VARIANTS)
def test_images_are_cut_as_clip_wants_them(read, tmp_path, monkeypatch, variant):
    rng, rule = np.random.default_rng(0), VARIANTS[variant]
    cut = {"filter": rule.filter.name}
    cut |= {name: getattr(rule, name) for name in ("rgb_first", "floor_crop", "stretch")}
    data = {"image_size": 16, "resize": "stretch" if rule.squash else 19, "cut": cut}
    monkeypatch.setitem(read.__globals__, "DATA", data)
    photo = Image.fromarray(rng.integers(0, 256, (21, 37, 3), np.uint8))
    kinds = {"rgb": photo, "tall": photo.resize((19, 40)), "square": photo.resize((16, 16))}
    kinds |= {
        "grey": photo.convert("L"),
        "alpha": photo.convert("RGBA"),
        "palette": photo.quantize(16),
    }
    for name, image in kinds.items():
        path = tmp_path / f"{name}.png"
        image.save(path)
        with Image.open(path) as file:
            wanted = pixels_uint8(file, 16, variant, 19)
        np.testing.assert_array_equal(read(str(path)), wanted, name)


def test_what_the_package_refuses_the_script_refuses(read, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "cat.jpg", "EPS")
    (tmp_path / "dog.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid")
    (tmp_path / "page.png").write_bytes(b"<!DOCTYPE html><html>")
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "float.tiff")
    sixteen_bit_colours(tmp_path / "dark.png", 4095)
    os.mkfifo(tmp_path / "pipe.png")
    for name, match in (
        ("pipe.png", "is no file"),
        ("cat.jpg", "none of the formats"),
        ("dog.png", "Git LFS pointer"),
        ("page.png", "web page"),
        ("float.tiff", "floating-point"),
        ("dark.png", "12 bits or fewer"),
    ):
        path = tmp_path / name
        with pytest.raises(InputError, match=match):
            decode.read(path, SIZE, 10)
        with pytest.raises(ValueError, match=match):
            read(str(path))
