"""Job: own images -> score, decision at a threshold, predicted class; one JSON object per line.

    python -m adapt_jax.predict --workdir=runs/mine [--detector=knn?k=50] [--tpr=0.95] IMAGE|DIR...

Needs an evaluated run, and none of its images: the detector is fitted on the cached outputs of the
training set. An image counts as in-distribution if its score reaches the threshold that keeps the
share --tpr of the last evaluation's held-out ID images (val_data, else the ID test set). Lines go
to stdout in the order of the arguments; an image that cannot be read has "error" in place of the
rest and makes the exit code 2, after all others are done.
"""

import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from adapt_jax import (
    checkpoints,
    cli,
    detector_specs,
    experiment,
    extract,
    outputs,
    probes,
    scoring,
    sharding,
)
from adapt_jax.config import completed
from adapt_jax.core.errors import InputError
from adapt_jax.data import augment, decode, sources
from adapt_jax.detectors import Head, ImageDetector, Outputs

_BLOCK = 256  # images decoded and scored together


class Predictor(NamedTuple):
    """A run ready for new images: `square` is how `data.decode.read` cuts them.

    `predict(images (N, S, S, 3) uint8) -> (scores (N,), classes (N,) or None)`; `threshold`: scores
    from there on are in-distribution; `calibrated_on`: whose images gave it; `predicted_by`: what
    names the class.
    """

    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
    square: tuple[int, int | str | None]
    detector: str
    threshold: float
    calibrated_on: str
    predicted_by: str | None
    class_names: tuple[str, ...]


def load(workdir: str, *, detector: str = "", tpr: float = 0.95) -> Predictor:
    """Restores a run and calibrates it.

    Args:
      workdir: of an evaluated run.
      detector: e.g. "knn?k=50"; by default the first of the run's.
      tpr: share of held-out ID images the threshold keeps.

    Raises:
      InputError: no such run, it was not evaluated, or the detector does not fit.
    """
    if not 0 < tpr <= 1:
        raise InputError(f"--tpr is a share in (0, 1], got {tpr:g}")
    if not workdir or not pathlib.Path(workdir).expanduser().is_dir():
        raise InputError(f"--workdir {workdir or ''} is not a folder; give that of a finished run")
    path = pathlib.Path(workdir).expanduser()
    config = completed(checkpoints.recall_config(path))
    facts = checkpoints.recall_data(path)
    if "mean" not in facts:
        raise InputError(f"{path} does not say how images are normalised; evaluate the run again")
    specs = detector_specs.parse(detector or _first_named(config.detectors))
    if detector and len(specs) > 1:
        raise InputError(f"--detector takes one detector, got {detector!r}")
    made = specs[0].make()
    if isinstance(made, ImageDetector):
        raise InputError(
            f"{specs[0].text} needs images to be calibrated, and a run keeps outputs only; "
            "use another detector"
        )
    mesh = sharding.make_mesh()
    mean_std = tuple(facts["mean"]), tuple(facts["std"])
    parts = experiment.build(
        config,
        mesh=mesh,
        num_classes=facts["num_classes"],
        num_images=facts["num_images"],
        mean_std=mean_std,
    )
    state = outputs.restore(config, path, parts, mesh)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    checkpoint = checkpoints.digest(experiment.host(variables))
    known = extract.recall(path / "features", checkpoint)
    for name in ("train", scoring.ID):
        if name not in known:
            raise InputError(
                f"{path} has no outputs of its {name} set at this checkpoint; run "
                f"python -m adapt_jax.evaluate --workdir={workdir} first"
            )
    held_out = scoring.VAL if scoring.VAL in known else scoring.ID
    source, arrays = known[held_out]
    labelled = outputs.as_outputs(known["train"][1])
    train = outputs.training_outputs(known["train"][1], parts.method, state.method_state)
    head = parts.model.classifier(variables)
    head = head and Head(*map(np.asarray, head))
    calibration = outputs.as_outputs(arrays)
    fitted = made.fit(train, val=calibration if held_out == scoring.VAL else train, head=head)
    kept = made.score(fitted, calibration)
    normalize = augment.make_normalize(*mean_std, dtype=parts.dtype)
    run = extract.make(parts.model, variables, normalize, mesh, min(config.eval_batch_size, _BLOCK))
    classify, by = _classifier(labelled, head)

    def predict(images: np.ndarray):
        found = outputs.as_outputs(run(images))
        return made.score(fitted, found), classify(found)

    return Predictor(
        predict=predict,
        square=(config.image_size, sources.parse(source).resize),
        detector=specs[0].text,
        threshold=threshold(kept, tpr),
        calibrated_on=f"{len(kept)} images of {source}",
        predicted_by=by,
        class_names=tuple(facts["class_names"]),
    )


def _is_image(path: pathlib.Path) -> bool:
    """As data sources see it: by suffix, nothing hidden."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in decode.SUFFIXES and not hidden


def _first_named(text: str) -> str:
    """The first detector of a run that works on outputs; kNN where it asks for all there are."""
    named = (s for s in detector_specs.parse(text) if s.named)
    return next((s.text for s in named if not isinstance(s.make(), ImageDetector)), "knn")


def threshold(scores: np.ndarray, tpr: float) -> float:
    """The largest value that at least the share `tpr` of the scores (N,) reach."""
    descending = np.sort(scores)[::-1]
    # The small term: 0.95 * 20 is 19.000000000000004 in floating point.
    return float(descending[int(np.ceil(tpr * len(scores) - 1e-9)) - 1])


def lines(predictor: Predictor, paths: Sequence[pathlib.Path]) -> Iterator[dict[str, Any]]:
    """One record per image, in order; what could not be read has "error" in it."""
    for start in range(0, len(paths), _BLOCK):
        chosen, decoded = paths[start : start + _BLOCK], {}
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


def _classifier(train: Outputs, head: Head | None):
    """What predicts a class: the network's own classifier, else the nearest class mean."""
    if head is not None:
        return lambda found: found.logits.argmax(axis=1), "classifier"
    if train.labels is None:
        return lambda found: None, None
    nearest = probes.nearest_mean(train)
    return lambda found: nearest(found.features), "nearest class mean"


if __name__ == "__main__":
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder of an evaluated run.")
    DETECTOR = flags.DEFINE_string("detector", "", "E.g. knn?k=50; the run's first by default.")
    TPR = flags.DEFINE_float("tpr", 0.95, "Share of held-out ID images that are kept.")

    def main(arguments: list[str]) -> None:
        """Predicts; exits with 2 if an image could not be read."""
        paths = expand(arguments)
        predictor = load(WORKDIR.value, detector=DETECTOR.value, tpr=TPR.value)
        print(
            f"{predictor.detector}, threshold {predictor.threshold:.6g} keeps "
            f"{100 * TPR.value:g} % of {predictor.calibrated_on}",
            file=sys.stderr,
        )
        unreadable = 0
        for record in lines(predictor, paths):
            unreadable += "error" in record
            print(json.dumps(record), flush=True)
        if unreadable:
            raise InputError(f"{unreadable} of {len(paths)} images could not be read")

    cli.run(main, arguments=True)
