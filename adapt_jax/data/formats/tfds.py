"""`tfds:NAME[:SPLIT]`: TensorFlow Datasets from prepared ArrayRecord files, without TensorFlow.

A set that is not prepared yet is prepared by `prepare_tfds` in a process of its own.
"""

import importlib.util
import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import cast

import numpy as np

from adapt_jax.core.errors import InputError
from adapt_jax.data import cache, contents, decode
from adapt_jax.data.base import Listing, Source, usable_labels

DEFAULT_SPLIT = "train"


def check_tfds(source: Source) -> None:
    """Raises InputError unless tfds is installed and the set is prepared or could be."""
    for module in ("tensorflow_datasets", "array_record"):
        if importlib.util.find_spec(module) is None:
            raise InputError(
                f"{source.text!r} needs TensorFlow Datasets (TensorFlow itself is not needed): "
                "pip install -e '.[tfds]'"
            )
    name, _ = _name_and_split(source)
    if _find(source, name) is None and importlib.util.find_spec("tensorflow") is None:
        raise InputError(
            f"{source.text!r}: {name} is not prepared in {data_dir()}; preparing it, once, needs "
            "TensorFlow: pip install tensorflow-cpu and run again (or set TFDS_DATA_DIR to where "
            "it is prepared as array_record)"
        )


def open_tfds(source: Source, image_size: int, cache_dir=None) -> Listing:
    """The images of one split; features `image` and `label`, or the only Image there is."""
    import tensorflow_datasets as tfds

    name, split = _name_and_split(source)
    folder = _find(source, name)
    if folder is None:
        _prepare(source, name)
        folder = _find(source, name)
        if folder is None:
            raise InputError(f"{source.text!r}: preparing {name} left nothing in {data_dir()}")
    builder = tfds.builder_from_directory(folder)
    features = builder.info.features
    image_key, label_key = _keys(source, features, tfds)
    try:
        records = builder.as_data_source(
            split=split, decoders={image_key: tfds.decode.SkipDecoding()}
        )
        count = len(records)
    except (ValueError, KeyError) as error:
        raise InputError(
            f"{source.text!r}: TFDS cannot read split {split!r} "
            f"({str(error).splitlines()[0]}); splits: {', '.join(builder.info.splits)}"
        ) from error

    lock = threading.Lock()

    def encoded(i: int) -> bytes | np.ndarray:
        with lock:  # the reader makes no promise about threads; decoding, the slow part, is outside
            value = records[int(i)][image_key]
        return value if isinstance(value, bytes) else _as_rgb(value)

    files = sorted(p for p in Path(folder).iterdir() if p.is_file())
    digests = contents.sha256s([os.path.abspath(p) for p in files], cache_dir)
    identity = "\n".join([split, *(f"{p.name}\0{d}" for p, d in zip(files, digests))])

    labels, class_names, flaw = None, (), "has no feature `label`"
    if label_key is not None:
        labels = cache.array(
            f"{label_key} {identity}",
            (count,),
            np.int64,
            lambda: (np.array([records[i][label_key]], np.int64) for i in range(count)),
            cache_dir,
        )
        class_names = tuple(getattr(features[label_key], "names", None) or ())
        labels, flaw = usable_labels(labels, class_names)

    return Listing(
        tuple(f"{source.kind}:{source.place}[{i}]" for i in range(count)),
        labels,
        class_names,
        lambda i: decode.opened(encoded(i)),
        flaw,
        identity=lambda indices: f"{indices.tolist()}\n{identity}",
        encoded=encoded,
    )


def data_dir() -> str:
    """$TFDS_DATA_DIR, else TFDS's own default."""
    return os.path.expanduser(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def _name_and_split(source: Source) -> tuple[str, str]:
    """`name[/config][:version][:split]`, the version being digits and dots."""
    match = re.fullmatch(
        r"([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)?(?::\d+\.\d+\.\d+)?)(?::(\S+))?", source.place
    )
    if not match:
        raise InputError(f"{source.text!r}: expected tfds:NAME[:SPLIT], such as tfds:cifar10:test")
    return match[1], match[2] or DEFAULT_SPLIT


def _find(source: Source, name: str) -> str | None:
    """The folder of the newest prepared version, or None."""
    name, _, version = name.partition(":")
    root = Path(data_dir()) / name
    infos = [*root.glob("*/dataset_info.json"), *root.glob("*/*/dataset_info.json")]
    numbered = [
        (tuple(map(int, p.parent.name.split("."))), p.parent)
        for p in infos
        if re.fullmatch(r"\d+\.\d+\.\d+", version or p.parent.name)
        and p.parent.name == (version or p.parent.name)
    ]
    if not numbered:
        return None
    configs = sorted({str(folder.parent.relative_to(root)) for _, folder in numbered})
    if len(configs) > 1:
        choices = ", ".join(f"tfds:{name}/{c}" for c in configs if c != ".")
        raise InputError(f"{source.text!r}: several configurations are prepared, say {choices}")
    folder = max(numbered)[1]
    if not any(".array_record" in p.name for p in folder.iterdir()):
        raise InputError(
            f"{source.text!r}: {folder} is not in ArrayRecord format, which reading without "
            "TensorFlow needs; set TFDS_DATA_DIR to another folder to prepare it there"
        )
    return str(folder)


def _keys(source: Source, features, tfds) -> tuple[str, str | None]:
    """Names of the image and the label feature."""
    names = list(features.keys())
    pictures = [k for k in names if isinstance(features[k], tfds.features.Image)]
    if "image" in names:
        image = "image"
    elif len(pictures) == 1:
        image = pictures[0]
    else:
        raise InputError(
            f"{source.text!r}: no feature `image` and not exactly one Image; "
            f"it has: {', '.join(names)}"
        )
    return image, "label" if "label" in names else None


def _as_rgb(value: np.ndarray) -> np.ndarray:
    """A raw tensor feature (H, W[, 1 or 3]) as (H, W, 3) uint8."""
    value = np.asarray(value)
    if value.ndim == 2:
        value = value[:, :, None]
    if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] not in (1, 3):
        raise InputError(f"expected uint8 (H, W, 3), got {value.dtype} {value.shape}")
    return np.ascontiguousarray(np.broadcast_to(value, (*value.shape[:2], 3)))


def _prepare(source: Source, name: str) -> None:
    """Runs prepare_tfds, its progress on our stderr."""
    command = [sys.executable, "-m", "adapt_jax.data.formats.prepare_tfds", name]
    command.append(f"--data_dir={data_dir()}")
    here = str(Path(__file__).resolve().parents[3])
    paths = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    print(f"preparing {name} in {data_dir()} (once)", file=sys.stderr, flush=True)
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
    ) as process:
        tail, output = b"", cast(io.BufferedReader, process.stderr)
        while chunk := output.read1(4096):
            sys.stderr.write(chunk.decode(errors="replace"))
            sys.stderr.flush()
            tail = (tail + chunk)[-8192:]
    if process.returncode:
        last = tail.decode(errors="replace").replace("\r", "\n").strip().splitlines() or [
            "no message"
        ]
        raise InputError(
            f"{source.text!r}: preparing {name} failed ({last[-1]}); check name and network, or "
            f"prepare it elsewhere with `python -m adapt_jax.data.formats.prepare_tfds {name}` "
            f"and copy its folder into {data_dir()}"
        )
