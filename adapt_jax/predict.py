"""Job: own images -> score, decision at a threshold, predicted class; one JSON object per line.

    python -m adapt_jax.predict --workdir=runs/mine [--detector=knn?k=50] [--tpr=0.95] IMAGE|DIR...

Needs an evaluated run, and none of its images: the detector is fitted on the cached outputs of the
training set. An export (`adapt_jax.export`) will do as well, and brings its detector with it. An
image counts as in-distribution if its score reaches the threshold that keeps the share --tpr of the
last evaluation's held-out ID images (val_data, else the ID test set). Lines go to stdout in the
order of the arguments; an image that cannot be read has "error" in place of the rest and makes the
exit code 2, after all others are done.
"""

import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from adapt_jax.core.errors import InputError
from adapt_jax.data import decode
from adapt_jax.inference import calibrated, pipeline
from adapt_jax.inference.pipeline import BLOCK
from adapt_jax.runtime import cli


class Predictor(NamedTuple):
    """A run ready for new images: `square` is how `data.decode.read` cuts them.

    `predict(images (N, S, S, 3) uint8) -> (scores (N,), classes (N,) or None)`; `threshold`: scores
    from there on are in-distribution; `calibrated_on`: whose images gave it; `predicted_by`: what
    names the class; `tpr`: the share of those images that the threshold keeps.
    """

    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
    square: tuple[int, int | str | None]
    detector: str
    tpr: float
    threshold: float
    calibrated_on: str
    predicted_by: str | None
    class_names: tuple[str, ...]


def load(workdir: str, *, detector: str = "", tpr: float | None = None) -> Predictor:
    """Restores a run or an export and calibrates it.

    Args:
      workdir: of an evaluated run, or an export.
      detector: e.g. "knn?k=50"; by default the first of the run's, or the export's.
      tpr: share of held-out ID images the threshold keeps; by default 0.95, or the export's.

    Raises:
      InputError: no such run, it was not evaluated, or the detector does not fit.
    """
    if tpr is not None:
        calibrated.check_tpr(tpr)
    ready = pipeline.load(workdir, detector=detector)

    def predict(images: np.ndarray):
        outputs = ready.outputs(images)
        return ready.detector.score(outputs), ready.detector.classify(outputs)

    tpr = ready.tpr if tpr is None else tpr
    return Predictor(
        predict=predict,
        square=ready.square,
        detector=ready.detector.spec.text,
        tpr=tpr,
        threshold=ready.detector.threshold(tpr),
        calibrated_on=ready.detector.calibrated_on,
        predicted_by=ready.detector.by,
        class_names=tuple(ready.facts["class_names"]),
    )


def _is_image(path: pathlib.Path) -> bool:
    """As data sources see it: by suffix, nothing hidden."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in decode.SUFFIXES and not hidden


def lines(predictor: Predictor, paths: Sequence[pathlib.Path]) -> Iterator[dict[str, Any]]:
    """One record per image, in order; what could not be read has "error" in it."""
    for start in range(0, len(paths), BLOCK):
        chosen, decoded = paths[start : start + BLOCK], {}
        records: list[dict[str, Any]] = [{"image": str(p)} for p in chosen]
        for i, path in enumerate(chosen):
            try:
                decoded[i] = decode.read(path, *predictor.square)
            except (InputError, OSError) as e:
                records[i]["error"] = str(e)
        if decoded:
            scores, classes = predictor.predict(np.stack(list(decoded.values())))
            for row, i in enumerate(decoded):
                records[i] |= {
                    "score": float(scores[row]),
                    "in_distribution": bool(scores[row] >= predictor.threshold),
                    "threshold": predictor.threshold,
                    "detector": predictor.detector,
                }
                if classes is not None:
                    records[i] |= {
                        "class": int(classes[row]),
                        "class_name": predictor.class_names[classes[row]],
                        "class_by": predictor.predicted_by,
                    }
        yield from records


def expand(arguments: Sequence[str]) -> list[pathlib.Path]:
    """The images named, and those anywhere below folders named, sorted.

    Raises:
      InputError: nothing named, a path that is not there, or a folder without images.
    """
    paths = []
    for argument in arguments:
        path = pathlib.Path(argument).expanduser()
        found = [path]
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if _is_image(p.relative_to(path)))
        if not found or not path.exists():
            what = "has no image in it" if path.is_dir() else "does not exist"
            raise InputError(f"{argument} {what}; give image files or folders of them")
        paths += found
    if not paths:
        raise InputError("no image named: python -m adapt_jax.predict --workdir=DIR IMAGE...")
    return paths


if __name__ == "__main__":
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder of an evaluated run, or an export.")
    DETECTOR = flags.DEFINE_string("detector", "", "E.g. knn?k=50; the run's first by default.")
    TPR = flags.DEFINE_float("tpr", None, "Share of held-out ID images that are kept; 0.95.")

    def main(arguments: list[str]) -> None:
        """Predicts; exits with 2 if an image could not be read."""
        paths = expand(arguments)
        predictor = load(WORKDIR.value or "", detector=DETECTOR.value, tpr=TPR.value)
        print(
            f"{predictor.detector}, threshold {predictor.threshold:.6g} keeps "
            f"{100 * predictor.tpr:g} % of {predictor.calibrated_on}",
            file=sys.stderr,
        )
        unreadable = 0
        for record in lines(predictor, paths):
            unreadable += "error" in record
            print(json.dumps(record), flush=True)
        if unreadable:
            raise InputError(f"{unreadable} of {len(paths)} images could not be read")

    cli.run(main, arguments=True)
