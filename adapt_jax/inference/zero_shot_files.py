"""What a zero-shot run keeps for later images: its record, its text bank and some embeddings.

`zero_shot.json` is written last and whole. It names the CLIP, how images are cut, the detectors,
and every file that is needed again with its SHA-256.
"""

import io
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from adapt_jax.core import npz
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import checked_fields, file_sha256, read_json, write_atomically
from adapt_jax.zero_shot_detectors import TextBank

FORMAT = "adapt_jax zero-shot run 1"
RECORD, TEXT = "zero_shot.json", "text/text.npz"
NOISE = "noise"  # among the embeddings: those of noise images
AGAIN = "run python -m adapt_jax.zero_shot again with this --workdir"
_KINDS: dict[str, Any] = {
    "clip": (dict, type(None)), "checkpoint_sha256": str, "id": str, "groups": dict,
    "detectors": str, "batch_size": int, "embeddings": dict, "files": dict,
}  # fmt: skip


class Text(NamedTuple):
    """A bank with what its rows are called; `negatives` is () where that is not known."""

    bank: TextBank
    class_names: tuple[str, ...]
    negatives: tuple[str, ...] = ()


def is_run(folder: pathlib.Path) -> bool:
    """Whether the folder is that of a finished zero-shot run."""
    return (folder / RECORD).is_file()


def write(folder: pathlib.Path, about: Mapping[str, Any], files: Iterable[str]) -> None:
    """Writes the record.

    Args:
      folder: folder of the run.
      about: fields that `read` returns, without "format" and "files".
      files: names of the files that are needed again, relative to the folder.
    """
    sums = {name: file_sha256(folder / name) for name in files}
    content = json.dumps({"format": FORMAT, **about, "files": sums}, indent=1) + "\n"
    write_atomically(folder / RECORD, content)


def read(folder: pathlib.Path) -> dict[str, Any]:
    """The record.

    Returns:
      clip: the fields of `clip_encoder.Source`; None where embeddings were made elsewhere.
      checkpoint_sha256: the CLIP's SHA-256, or that of the embeddings.
      id: the source of the ID images. groups: the group of every other set.
      detectors: as in the config. batch_size: of streams.
      preprocess: keyword arguments of `clip.pixels_uint8`, and image_batch_size of passes through
        the CLIP, where there is one.
      embeddings: the file of every set's embeddings, by name; "noise" too, where there are some.
      files: SHA-256 of every file that is needed again.

    Raises:
      InputError: it is damaged, or of another format.
    """
    record = read_json(folder / RECORD, {"format": str}, AGAIN)
    if record["format"] != FORMAT:
        raise InputError(
            f"{folder / RECORD} is of the format {record['format']!r}, this package reads "
            f"{FORMAT!r}; {AGAIN}"
        )
    return checked_fields(record, _KINDS, str(folder / RECORD), AGAIN)


def arrays(folder: pathlib.Path, record: Mapping[str, Any], name: str) -> dict[str, np.ndarray]:
    """An npz file of the record, found to be as it was written.

    Raises:
      InputError: it is missing, changed or damaged; it is named.
    """
    path = folder / name
    if not path.is_file():
        raise InputError(f"{path} is missing; {AGAIN}")
    if file_sha256(path) != record["files"][name]:
        raise InputError(f"{path} is not what {RECORD} was written with; {AGAIN}")
    return npz.read(path)


def save_text(folder: pathlib.Path, text: Text) -> None:
    """Writes the text bank, in the layout that --from_features reads."""
    content = io.BytesIO()
    np.savez(
        content,
        labels=text.bank.labels,
        negatives=text.bank.negatives,
        class_names=np.array(text.class_names, np.str_),
        words=np.array(text.negatives, np.str_),
    )
    (folder / TEXT).parent.mkdir(exist_ok=True)
    write_atomically(folder / TEXT, content.getvalue())


def load_text(folder: pathlib.Path, record: Mapping[str, Any]) -> Text:
    """The text bank of a run. Raises as `arrays`."""
    content = arrays(folder, record, TEXT)
    names, words = (tuple(map(str, content[key])) for key in ("class_names", "words"))
    return Text(TextBank(content["labels"], content["negatives"]), names, words)
