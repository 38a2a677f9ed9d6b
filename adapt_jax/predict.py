"""Job: own images -> score, decision, predicted class; one JSON object per line, or CSV.

    python -m adapt_jax.predict --workdir=runs/mine [--detector=knn?k=50] IMAGE|DIR...
        [--tpr=0.95 | --alpha=0.05 | --fdr=0.1] [--format=csv]
    python -m adapt_jax.predict --workdir=runs/adaneg --stream=DIR [--explain] [IMAGE|DIR...]

Needs an evaluated run, and none of its images: the detector is fitted on the cached outputs of the
training set. An export (`adapt_jax.export`) will do as well, and brings its detector with it.
Decisions are calibrated on the last evaluation's held-out ID images (val_data, else the ID test
set): --tpr keeps that share of them; --alpha rejects at most that share of new ID images, by
conformal p-values; --fdr decides about all images together, so that at most that share of those
called OOD is expected to be ID. Lines go to stdout in the order of the arguments; what is promised
and a summary go to stderr. An image that cannot be read has "error" in place of the rest and makes
the exit code 2, after all others are done.

Of a zero-shot run with AdaNeg or TANL, --stream names the folder of a stream, which goes on where
it was stopped: the detector remembers images, so that order and batches matter. Where no image is
named, paths are read from standard input, one per line; a batch is scored when it is full, at an
empty line and at the end. --explain adds what decided each score: words and remembered images.
"""

import contextlib
import csv
import json
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from absl import flags

from adapt_jax.core import sheets
from adapt_jax.core.errors import InputError
from adapt_jax.data.formats import folders
from adapt_jax.inference import pipeline
from adapt_jax.inference.live_stream import Stream
from adapt_jax.inference.ready import BLOCK, Ready
from adapt_jax.metrics import conformal
from adapt_jax.runtime import cli

FORMATS = ("json", "csv")
_COLUMNS = (
    "image", "score", "in_distribution", "p_value", "threshold", "detector", "class", "class_name",
    "class_by", "error",
)  # fmt: skip


def lines(ready: Ready, paths: Sequence[pathlib.Path]) -> Iterator[dict[str, Any]]:
    """One record per image, in order; what could not be read has "error" in it."""
    for start in range(0, len(paths), BLOCK):
        yield from _records(ready, paths[start : start + BLOCK])


def streamed(
    ready: Ready, stream: Stream, batches: Iterable[Sequence[pathlib.Path]], explain: bool
) -> Iterator[dict[str, Any]]:
    """The same from a stream, batch after batch.

    Args:
      ready: pipeline that embeds images.
      stream: stream that scores them.
      batches: paths, at most `stream.batch_size` at a time.
      explain: whether records have "because", see `Stream.explain`.
    """
    for paths in batches:
        yield from _records(ready, paths, stream, explain)


def _records(
    ready: Ready, paths: Sequence[pathlib.Path], stream: Stream | None = None, explain: bool = False
) -> list[dict[str, Any]]:
    """The records of images that are scored together."""
    records: list[dict[str, Any]] = [{"image": str(path)} for path in paths]
    decoded = {}
    for i, path in enumerate(paths):
        try:
            decoded[i] = ready.read(path)
        except (InputError, OSError) as e:
            records[i]["error"] = str(e)
    if not decoded:
        return records
    outputs, by = ready.outputs(np.stack(list(decoded.values()))), stream or ready
    detector = by.detector
    if stream is None:
        scores = detector.score(outputs)
    else:
        scores = stream.score_embeddings(outputs.features, [records[i]["image"] for i in decoded])
    classes = detector.classify(outputs)
    because = stream.explain(outputs.features) if stream is not None and explain else None
    for row, i in enumerate(decoded):
        records[i] |= {
            "score": float(scores[row]),
            "in_distribution": bool(scores[row] >= by.threshold),
            "threshold": by.threshold,
            "detector": detector.spec.text,
        }
        if by.alpha is not None:
            p_value = conformal.p_values(detector.calibration, scores[row])
            records[i]["p_value"] = float(p_value)
        if classes is not None:
            records[i] |= {
                "class": int(classes[row]),
                "class_name": ready.facts["class_names"][classes[row]],
                "class_by": detector.by,
            }
        if because is not None:
            records[i]["because"] = because[row]
    return records


def batched(paths: Iterable[str], size: int) -> Iterator[list[pathlib.Path]]:
    """Lines of paths as batches: a full one, what came before an empty line, and the rest."""
    waiting: list[pathlib.Path] = []
    for line in (line.rstrip("\r\n") for line in paths):
        waiting += [pathlib.Path(line).expanduser()] if line else []
        if waiting and (len(waiting) == size or not line):
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def discoveries(
    ready: Ready, records: Iterable[dict[str, Any]], rate: float
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


def promise(ready: Ready | Stream, rate: float | None = None) -> str:
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


def status(stream: Stream) -> str:
    """How much a stream has seen and remembers, in one line."""
    kept = ", ".join(f"{count:,} {what}" for what, count in stream.remembers().items())
    return f"{stream.folder}: {stream.seen:,} images seen; remembers {kept or 'nothing'}"


def show(records: Iterable[dict[str, Any]], kind: str) -> dict[str, int]:
    """Prints records to stdout as they come, in one of `FORMATS`, and counts the outcomes."""
    counts = {"in-distribution": 0, "out-of-distribution": 0, "unreadable": 0}
    sheet = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    if kind == "csv":
        sheet.writeheader()
    for record in records:
        if kind == "csv":
            sheet.writerow({column: sheets.safe(value) for column, value in record.items()})
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


def _check_flags(tpr, alpha, rate, kind: str, stream: str, explain: bool) -> None:
    """Raises InputError for flags that contradict each other or have no effect."""
    if sum(value is not None for value in (tpr, alpha, rate)) > 1:
        raise InputError("--tpr, --alpha and --fdr are three ways to decide; give one")
    if rate is not None:
        conformal.check_share("--fdr", rate)
    if kind not in FORMATS:
        raise InputError(f"--format is {' or '.join(FORMATS)}, not {kind!r}")
    if stream and (alpha is not None or rate is not None):
        raise InputError(
            "--alpha and --fdr promise something about images that do not depend on each other; "
            "the scores of a stream do, give --tpr"
        )
    if explain and (not stream or kind != "json"):
        raise InputError("--explain needs --stream, and --format=json")


if __name__ == "__main__":
    WORKDIR = flags.DEFINE_string("workdir", None, "Folder of an evaluated run, or an export.")
    DETECTOR = flags.DEFINE_string("detector", "", "E.g. knn?k=50; the run's first by default.")
    TPR = flags.DEFINE_float("tpr", None, "Share of held-out ID images that are kept; 0.95.")
    ALPHA = flags.DEFINE_float("alpha", None, "Largest share of new ID images that is rejected.")
    FDR = flags.DEFINE_float("fdr", None, "Largest false discovery rate among all images given.")
    FORMAT = flags.DEFINE_string("format", "json", f"How images are printed: {', '.join(FORMATS)}.")

    STREAM = flags.DEFINE_string("stream", "", "Folder of a stream, of a zero-shot run.")
    EXPLAIN = flags.DEFINE_bool("explain", False, "Say what decided each score of a stream.")

    def main(arguments: list[str]) -> None:
        """Predicts; exits with 2 if an image could not be read."""
        rate = FDR.value
        _check_flags(TPR.value, ALPHA.value, rate, FORMAT.value, STREAM.value, EXPLAIN.value)
        if not WORKDIR.value:
            run = next((a for a in arguments if pathlib.Path(a, "config.json").is_file()), "DIR")
            raise InputError(f"name the run by --workdir={run}; other arguments are images")
        paths = [] if STREAM.value and not arguments else expand(arguments)
        ready = pipeline.load(WORKDIR.value or "", DETECTOR.value, tpr=TPR.value, alpha=ALPHA.value)
        with contextlib.ExitStack() as held:
            stream = None
            if STREAM.value:
                stream = held.enter_context(ready.stream(STREAM.value))
                size = stream.batch_size
                names = map(str, paths) if arguments else map(os.fsdecode, sys.stdin.buffer)
                records = streamed(ready, stream, batched(names, size), EXPLAIN.value)
            else:
                scored = lines(ready, paths)
                records = scored if rate is None else iter(discoveries(ready, scored, rate))
            print(promise(stream or ready, rate), file=sys.stderr)
            counts = show(records, FORMAT.value)
            if stream is not None:
                print(status(stream), file=sys.stderr)
        total = sum(counts.values())
        named = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(f"{total} images: {named}", file=sys.stderr)
        if counts["unreadable"]:
            raise InputError(f"{counts['unreadable']} of {total} images could not be read")

    cli.run(main, arguments=True)
