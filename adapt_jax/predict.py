"""Job: own images -> score, decision, predicted class; one JSON object per line, or CSV.

    python -m adapt_jax.predict --workdir=runs/mine [--detector=knn?k=50] IMAGE|DIR...
        [--tpr=0.95 | --alpha=0.05 | --fdr=0.1] [--format=csv]

Needs an evaluated run, and none of its images: the detector is fitted on the cached outputs of the
training set. An export (`adapt_jax.export`) will do as well, and brings its detector with it.
Decisions are calibrated on the last evaluation's held-out ID images (val_data, else the ID test
set): --tpr keeps that share of them; --alpha rejects at most that share of new ID images, by
conformal p-values; --fdr decides about all images together, so that at most that share of those
called OOD is expected to be ID. Lines go to stdout in the order of the arguments; what is promised
and a summary go to stderr. An image that cannot be read has "error" in place of the rest and makes
the exit code 2, after all others are done.
"""

import csv
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from absl import flags

from adapt_jax.core.errors import InputError
from adapt_jax.data import decode
from adapt_jax.data.formats import folders
from adapt_jax.inference import pipeline
from adapt_jax.inference.pipeline import BLOCK, Pipeline
from adapt_jax.metrics import conformal
from adapt_jax.runtime import cli

FORMATS = ("json", "csv")
_COLUMNS = (
    "image", "score", "in_distribution", "p_value", "threshold", "detector", "class", "class_name",
    "class_by", "error",
)  # fmt: skip


def lines(ready: Pipeline, paths: Sequence[pathlib.Path]) -> Iterator[dict[str, Any]]:
    """One record per image, in order; what could not be read has "error" in it."""
    detector = ready.detector
    for start in range(0, len(paths), BLOCK):
        block_paths, decoded = paths[start : start + BLOCK], {}
        records: list[dict[str, Any]] = [{"image": str(p)} for p in block_paths]
        for i, path in enumerate(block_paths):
            try:
                decoded[i] = decode.read(path, *ready.square)
            except (InputError, OSError) as e:
                records[i]["error"] = str(e)
        if decoded:
            outputs = ready.outputs(np.stack(list(decoded.values())))
            scores, classes = detector.score(outputs), detector.classify(outputs)
            for row, i in enumerate(decoded):
                records[i] |= {
                    "score": float(scores[row]),
                    "in_distribution": bool(scores[row] >= ready.threshold),
                    "threshold": ready.threshold,
                    "detector": detector.spec.text,
                }
                if ready.alpha is not None:
                    p_value = conformal.p_values(detector.calibration, scores[row])
                    records[i]["p_value"] = float(p_value)
                if classes is not None:
                    records[i] |= {
                        "class": int(classes[row]),
                        "class_name": ready.facts["class_names"][classes[row]],
                        "class_by": detector.by,
                    }
        yield from records


def discoveries(
    ready: Pipeline, records: Iterable[dict[str, Any]], rate: float
) -> list[dict[str, Any]]:
    """The records of a batch, decided together by Benjamini and Hochberg's procedure.

    Args:
      ready: the pipeline that made the records.
      records: records of the whole batch, from `lines`.
      rate: largest false discovery rate.
    """
    records = list(records)
    readable = [record for record in records if "error" not in record]
    p_values = conformal.p_values(ready.detector.calibration, [r["score"] for r in readable])
    called = conformal.benjamini_hochberg(p_values, rate)
    for record, p_value, ood in zip(readable, p_values, called):
        del record["threshold"]  # the decision depends on the whole batch
        record |= {"p_value": float(p_value), "in_distribution": not ood}
    return records


def promise(ready: Pipeline, rate: float | None = None) -> str:
    """What a decision is worth, in one line; `rate` is that of `discoveries`."""
    detector, size = ready.detector.spec.text, len(ready.detector.calibration)
    on = f"calibrated on {ready.detector.calibrated_on}"
    if rate is not None:
        return (
            f"{detector}, false discovery rate {rate:g}: at most {100 * rate:g} % of the "
            f"images called out-of-distribution are expected to be in-distribution; {on}, "
            f"so no p-value is below {1 / (size + 1):.2g}"
        )
    if ready.alpha is None:
        return (
            f"{detector}, threshold {ready.threshold:.6g} keeps "
            f"{100 * ready.tpr:g} % of {ready.detector.calibrated_on}"
        )
    bound = conformal.guarantee(size, ready.alpha)
    return (
        f"{detector}, alpha {ready.alpha:g}: of new in-distribution images "
        f"{100 * bound.mean:.2f} % are rejected on average, and with {100 * bound.confidence:g} % "
        f"confidence at most {100 * bound.bound:.2f} %; {on}"
    )


def show(records: Iterable[dict[str, Any]], kind: str) -> dict[str, int]:
    """Prints records to stdout as they come, in one of `FORMATS`, and counts the outcomes."""
    counts = {"in-distribution": 0, "out-of-distribution": 0, "unreadable": 0}
    sheet = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    if kind == "csv":
        sheet.writeheader()
    for record in records:
        if kind == "csv":
            sheet.writerow(record)
        else:
            print(json.dumps(record))
        sys.stdout.flush()
        if "error" in record:
            counts["unreadable"] += 1
        else:
            counts["in-distribution" if record["in_distribution"] else "out-of-distribution"] += 1
    return counts


def expand(arguments: Sequence[str]) -> list[pathlib.Path]:
    """The images named, and those anywhere below folders named, sorted.

    Raises:
      InputError: nothing named, a path that is not there, or a folder without images.
    """
    paths = []
    for argument in arguments:
        path = pathlib.Path(argument).expanduser()
        images = [path]
        if path.is_dir():
            images = [path / name for name in folders.image_names(path)]
        if not images or not path.exists():
            what = "has no image in it" if path.is_dir() else "does not exist"
            raise InputError(f"{argument} {what}; give image files or folders of them")
        paths += images
    if not paths:
        raise InputError("no image named: python -m adapt_jax.predict --workdir=DIR IMAGE...")
    return paths


if __name__ == "__main__":
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder of an evaluated run, or an export.")
    DETECTOR = flags.DEFINE_string("detector", "", "E.g. knn?k=50; the run's first by default.")
    TPR = flags.DEFINE_float("tpr", None, "Share of held-out ID images that are kept; 0.95.")
    ALPHA = flags.DEFINE_float("alpha", None, "Largest share of new ID images that is rejected.")
    FDR = flags.DEFINE_float("fdr", None, "Largest false discovery rate among all images given.")
    FORMAT = flags.DEFINE_string("format", "json", f"How images are printed: {', '.join(FORMATS)}.")

    def main(arguments: list[str]) -> None:
        """Predicts; exits with 2 if an image could not be read."""
        rate = FDR.value
        if sum(value is not None for value in (TPR.value, ALPHA.value, rate)) > 1:
            raise InputError("--tpr, --alpha and --fdr are three ways to decide; give one")
        if rate is not None:
            conformal.check_share("--fdr", rate)
        if FORMAT.value not in FORMATS:
            raise InputError(f"--format is {' or '.join(FORMATS)}, not {FORMAT.value!r}")
        paths = expand(arguments)
        ready = pipeline.load(WORKDIR.value or "", DETECTOR.value, tpr=TPR.value, alpha=ALPHA.value)
        print(promise(ready, rate), file=sys.stderr)
        scored = lines(ready, paths)
        records = scored if rate is None else discoveries(ready, scored, rate)
        counts = show(records, FORMAT.value)
        named = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(f"{len(paths)} images: {named}", file=sys.stderr)
        if counts["unreadable"]:
            raise InputError(f"{counts['unreadable']} of {len(paths)} images could not be read")

    cli.run(main, arguments=True)
