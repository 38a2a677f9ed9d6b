"""Job: a run -> one directory with network, fitted detector, model card and a StableHLO scorer.

`python -m adapt_jax.export --help` says what it reads and writes; see docs/export.md.
"""

import contextlib
import datetime
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import safetensors.numpy

from adapt_jax.core import files, replacing
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import file_sha256
from adapt_jax.export import card as export_card
from adapt_jax.export import contents
from adapt_jax.export import scorer as export_scorer
from adapt_jax.export.contents import Contents
from adapt_jax.inference import calibrated, pipeline
from adapt_jax.inference.ready import Ready
from adapt_jax.runtime import buckets, provenance
from adapt_jax.workdir import bundle


def export(
    workdir: str,
    out: str,
    *,
    detector: str = "",
    tpr: float = calibrated.TPR,
    platforms: tuple[str, ...] = export_scorer.PLATFORMS,
    licence: str = "unknown",
    overwrite: bool = False,
    report_progress: Callable[[str], None] = lambda text: None,
) -> pathlib.Path:
    """Writes OUT whole, or not at all.

    Args:
      workdir: folder of an evaluated run; or of an export, to make its scorer with another version
        of JAX.
      out: directory to create; it must not exist, unless it is an export and `overwrite` is given.
      detector: spec string such as "knn?k=50"; by default the run's first detector.
      tpr: share of held-out ID images that its threshold keeps.
      platforms: platforms to compile the scorer for, of "cpu", "cuda", "rocm", "tpu"; they must
        include this machine's.
      licence: licence of the weights, as an identifier of model hubs.
      overwrite: whether to replace an export.
      report_progress: function called with a line about the current step.

    Returns:
      The directory.

    Raises:
      InputError: no such run, it was not evaluated, the detector does not fit or cannot be
        exported, or there is something else at OUT.
      RuntimeError: the scorer gives other scores than the package.
    """
    calibrated.check_tpr(tpr)
    export_scorer.check(platforms)
    target = _target(out, overwrite)
    report_progress(f"fitting on the outputs in {workdir}")
    ready = pipeline.load(workdir, detector=detector)
    content = contents.of(ready, buckets.local(workdir))
    about, arrays = calibrated.files(ready.detector, tpr)
    report_progress(f"compiling for {', '.join(platforms)}")
    program = export_scorer.build(content, platforms)
    report_progress("comparing the scorer with the package")
    difference = export_scorer.compare(program, content)
    report_progress(f"writing {target}")
    with _written(target) as folder:
        _write_json(folder / bundle.CONFIG, content.config)
        _write_json(folder / bundle.DATA, content.data)
        _write_json(folder / bundle.DETECTOR, about)
        safetensors.numpy.save_file(content.weights, folder / bundle.WEIGHTS)
        safetensors.numpy.save_file(arrays, folder / bundle.DETECTOR_ARRAYS)
        (folder / bundle.SCORER).write_bytes(program)
        script = pathlib.Path(__file__).with_name("score.py")
        shutil.copyfile(script, folder / bundle.SCRIPT)
        scorer = {
            "platforms": list(platforms),
            "checked_on": export_scorer.here(),
            "images": ["batch", content.size, content.size, 3],
            "dtype": content.dtype,
            "relative_difference": difference,
        }
        card = _card(content, about, scorer, licence, folder)
        _write_json(folder / bundle.CARD, card)
        (folder / bundle.README).write_text(export_card.text(card))
        for file in folder.iterdir():
            file.chmod(0o644)  # some writers' 0600 would hide them from colleagues
    return target


def load(folder: str | os.PathLike) -> Ready:
    """An export: `ready.outputs(images)`, `detector.score(outputs)`.

    Returns:
      A `Pipeline`, or a `ZeroShotExport`.

    Raises:
      InputError: it is none, a file of it has changed, or an array does not fit.
    """
    path = pathlib.Path(folder).expanduser()
    if not bundle.is_export(path):
        raise InputError(f"{folder} is no export; make one with python -m adapt_jax.export")
    return pipeline.load(path)


def _card(content: Contents, about, scorer, licence: str, folder) -> dict[str, Any]:
    return {
        "format": bundle.FORMAT,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "licence": licence,
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        **content.card,
        "detector": {k: v for k, v in about.items() if k != "arrays"},
        "scorer": scorer,
        "files": {
            name: {
                "sha256": file_sha256(folder / name),
                "bytes": (folder / name).stat().st_size,
            }
            for name in bundle.HASHED
        },
    }


def _target(out: str, overwrite: bool) -> pathlib.Path:
    """Where the export goes; nothing else must be lost for it."""
    if not out:
        raise InputError("--out=DIR is needed: the directory to write")
    path = pathlib.Path(out).expanduser().absolute()
    if path.is_dir() and not any(path.iterdir()):
        return path
    if path.exists():
        if not bundle.is_export(path):
            raise InputError(f"--out {out} exists and is no export; give another directory")
        if not overwrite:
            raise InputError(f"--out {out} is an export already; replace it with --overwrite")
    return path


@contextlib.contextmanager
def _written(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory that takes the place of `target` once all is written to it."""
    try:
        with replacing.whole_folder(target) as folder:
            yield folder
    except OSError as e:
        raise InputError(
            f"--out {target} cannot be written ({files.disk_reason(e)}); nothing there was changed"
        ) from None


def _write_json(path: pathlib.Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
