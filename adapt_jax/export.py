"""Job: a run -> one directory with network, fitted detector, model card and a StableHLO scorer.

    python -m adapt_jax.export --workdir=runs/mine --out=exports/mine [--detector=knn?k=50]

Needs an evaluated run, or another export, and none of its images. `predict`, `evaluate` and `load`
here read what it writes; OUT/score.py scores images where this package is not installed. See
docs/export.md.
"""

import contextlib
import datetime
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import safetensors.numpy
from absl import flags

from adapt_jax import (
    cli,
    experiment,
    export_card,
    export_scorer,
    exported,
    fitted,
    logbook,
    provenance,
    results,
)
from adapt_jax import judge as judges
from adapt_jax.core import named
from adapt_jax.core.errors import InputError
from adapt_jax.fitted import Fitted

_LEFT_OUT = ("config", "seconds", "peak_memory_bytes")  # of results.json, in the card


def export(
    workdir: str,
    out: str,
    *,
    detector: str = "",
    tpr: float = judges.TPR,
    platforms: tuple[str, ...] = export_scorer.PLATFORMS,
    licence: str = "unknown",
    overwrite: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> pathlib.Path:
    """Writes OUT whole, or not at all.

    Args:
      workdir: of an evaluated run; or an export, to make its scorer with another version of JAX.
      out: the directory; it must not exist, or be an export that `overwrite` lets go.
      detector: e.g. "knn?k=50"; by default the first of the run's.
      tpr: share of held-out ID images that its threshold keeps.
      platforms: the scorer is compiled for, of "cpu", "cuda", "rocm", "tpu"; this machine's among
        them.
      licence: of the weights, an identifier as model hubs have them.
      overwrite: replace an export.
      say: told what is being done.

    Returns:
      The directory.

    Raises:
      InputError: no such run, it was not evaluated, the detector does not fit or cannot be
        exported, or there is something else at OUT.
      RuntimeError: the scorer gives other scores than the package.
    """
    judges.check_tpr(tpr)
    export_scorer.check(platforms)
    target = _target(out, overwrite)
    say(f"fitting on the outputs in {workdir}")
    found = fitted.load(workdir, detector=detector)
    evaluation = _results(pathlib.Path(workdir).expanduser(), found)
    if found.config.model.dtype == "auto":
        found.config.model.dtype = experiment.compute_dtype("auto")
    about, arrays = judges.files(found.judge, tpr)
    say(f"compiling for {', '.join(platforms)}")
    program = export_scorer.build(found, platforms)
    say("comparing the scorer with the package")
    difference = export_scorer.compare(program, found)
    weights = named.flatten(**found.variables, method=found.method_state)
    data = dict(found.facts) | {"image_size": found.square[0], "resize": found.square[1]}
    say(f"writing {target}")
    with _whole(target) as folder:
        _write_json(folder / exported.CONFIG, found.config.to_dict())
        _write_json(folder / exported.DATA, data)
        _write_json(folder / exported.DETECTOR, about)
        safetensors.numpy.save_file(weights, folder / exported.WEIGHTS)
        safetensors.numpy.save_file(arrays, folder / exported.DETECTOR_ARRAYS)
        (folder / exported.SCORER).write_bytes(program)
        script = pathlib.Path(export_scorer.__file__).with_name("export_score.py")
        shutil.copyfile(script, folder / exported.SCRIPT)
        scorer = {
            "platforms": list(platforms),
            "checked_on": export_scorer.here(),
            "images": ["batch", data["image_size"], data["image_size"], 3],
            "dtype": found.config.model.dtype,
            "relative_difference": difference,
        }
        card = _card(found, evaluation, data, about, scorer, licence, folder)
        _write_json(folder / exported.CARD, card)
        (folder / exported.README).write_text(export_card.text(card))
        for file in folder.iterdir():
            file.chmod(0o644)  # some writers' 0600 would hide them from colleagues
    return target


def load(folder: str | os.PathLike) -> Fitted:
    """An export: `found.outputs(images)`, `found.judge.detector`, `found.judge.state`.

    Raises:
      InputError: it is none, a file of it has changed, or an array does not fit.
    """
    path = pathlib.Path(folder).expanduser()
    if not exported.is_export(path):
        raise InputError(f"{folder} is no export; make one with python -m adapt_jax.export")
    return fitted.load(path)


def _results(path: pathlib.Path, found: Fitted) -> dict[str, Any]:
    """The last evaluation of the run, or what the export knows of it."""
    if exported.is_export(path):
        return exported.read_json(path, exported.CARD)["results"]
    evaluation = results.read(path)
    if evaluation["checkpoint_sha256"] != found.checkpoint:
        raise InputError(f"{path} holds results of another checkpoint; evaluate it again")
    return evaluation


def _card(found: Fitted, evaluation, data, about, scorer, licence: str, folder) -> dict[str, Any]:
    weights = named.flatten(params=found.variables["params"])
    return {
        "format": exported.FORMAT,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "licence": licence,
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "method": found.config.method.name,
        "model": found.config.model.name,
        "parameters": sum(v.size for v in weights.values()),
        "step": found.step,
        "checkpoint_sha256": found.checkpoint,
        "data": {
            "train": found.config.train_data,
            "fingerprint": data["train_fingerprint"],
            "images": data["num_images"],
            "classes": data["num_classes"],
            "image_size": data["image_size"],
            "resize": data["resize"],
            "mean": data["mean"],
            "std": data["std"],
            "evaluation_lists_sha256": evaluation.get("lists_sha256", ""),
        },
        "detector": {k: v for k, v in about.items() if k != "arrays"},
        "scorer": scorer,
        "results": {k: v for k, v in evaluation.items() if k not in _LEFT_OUT},
        "files": {
            name: {
                "sha256": exported.digest(folder / name),
                "bytes": (folder / name).stat().st_size,
            }
            for name in exported.FILES
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
        if not exported.is_export(path):
            raise InputError(f"--out {out} exists and is no export; give another directory")
        if not overwrite:
            raise InputError(f"--out {out} is an export already; replace it with --overwrite")
    return path


@contextlib.contextmanager
def _whole(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory beside `target` that takes its place once all is written to it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as e:
        raise InputError(f"--out {target} cannot be written ({e.strerror})") from None
    try:
        yield folder
        folder.chmod(0o755)
        if target.exists() and any(target.iterdir()):
            former = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            target.rename(former / target.name)
            folder.rename(target)
            shutil.rmtree(former)
        else:
            folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_json(path: pathlib.Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    WORKDIR = flags.DEFINE_string("workdir", "", "Folder of an evaluated run, or an export.")
    OUT = flags.DEFINE_string("out", "", "Directory to write.")
    DETECTOR = flags.DEFINE_string("detector", "", "E.g. knn?k=50; the run's first by default.")
    TPR = flags.DEFINE_float("tpr", judges.TPR, "Share of held-out ID images that are kept.")
    PLATFORMS = flags.DEFINE_list(
        "platforms", list(export_scorer.PLATFORMS), "What the scorer runs on."
    )
    LICENCE = flags.DEFINE_string("license", "unknown", "Of the weights, for the model card.")
    OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an export.")

    def main() -> None:
        """Exports and says how large the parts are."""
        console = logbook.console()
        with logbook.doing(console) as say:
            folder = export(
                WORKDIR.value,
                OUT.value,
                detector=DETECTOR.value,
                tpr=TPR.value,
                platforms=tuple(PLATFORMS.value),
                licence=LICENCE.value,
                overwrite=OVERWRITE.value,
                say=say,
            )
        for file in sorted(folder.iterdir()):
            console.print(f"{file.stat().st_size / 1e6:9.3f} MB  {file}", highlight=False)

    cli.run(main)
