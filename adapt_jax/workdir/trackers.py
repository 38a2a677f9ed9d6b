"""Trackers of a run's scalars besides metrics.jsonl: always TensorBoard files, W&B if requested.

`tracking: "wandb"` in the config sends them to Weights & Biases as well. Project, folder, name and
mode are W&B's own variables (WANDB_PROJECT, WANDB_DIR, WANDB_NAME, WANDB_MODE); a run that resumes
continues its W&B run, whose id is in WORKDIR/wandb.json.
"""

import importlib.util
import json
import os
import pathlib
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from adapt_jax.core.errors import InputError
from adapt_jax.core.files import read_json, write_atomically
from adapt_jax.runtime import processes

KNOWN = ("", "wandb")
_ID = "wandb.json"


class Tracker(Protocol):
    """A destination of scalars."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds the values of a step."""

    def summary(self, step: int, values: Mapping[str, float]) -> None:
        """Sets the values a run is compared by."""

    def close(self) -> None:
        """Writes everything that is pending; the tracker is not used afterwards."""


def check(tracking: str) -> None:
    """Raises InputError for an unknown name, or W&B where it is not installed."""
    if tracking not in KNOWN:
        raise InputError(f'config field tracking is "" or "wandb", got {tracking!r}')
    if tracking and not installed():
        raise InputError(
            'tracking is "wandb", which is not installed: pip install wandb, or --config.tracking='
        )


def installed() -> bool:
    """Whether W&B can be imported; a folder `wandb` it left behind is not enough."""
    spec = importlib.util.find_spec("wandb")
    return spec is not None and spec.origin is not None


def open_all(
    tracking: str, settings: Mapping[str, Any], workdir: pathlib.Path, start: int | None
) -> list[Tracker]:
    """The trackers of a run, on process 0; none elsewhere.

    Args:
      tracking: value of the config field: "" for TensorBoard alone, "wandb" for W&B as well.
      settings: the whole config as a dict, which W&B shows.
      workdir: folder of the run.
      start: step at which the run starts or resumes; later records in TensorBoard's files are
        dropped. None drops none.

    Raises:
      InputError: on every process, if logging in to W&B fails.
    """
    opened: list[Tracker] = []
    with processes.together():
        if processes.is_main():
            workdir = pathlib.Path(workdir)
            if (tracker := _tensorboard(workdir / "tensorboard", start)) is not None:
                opened.append(tracker)
            if tracking == "wandb":
                opened.append(WandB(workdir, dict(settings)))
    return opened


def summarise(
    workdir: pathlib.Path, results: Mapping[str, Any], report_progress: Callable[[str], None]
) -> None:
    """Sends the results of an evaluation to the trackers: every group's means, and accuracies.

    A W&B run is continued where `workdir` has one and W&B is still installed.

    Args:
      workdir: folder of the run.
      results: content of results.json.
      report_progress: function called with a line if logging in to W&B fails.
    """
    settings = results["config"]
    tracked = installed() and (pathlib.Path(workdir) / _ID).exists()
    tracking = settings["tracking"] if tracked else ""
    step, values = results.get("step", 0), headlines(results)
    try:
        for tracker in open_all(tracking, settings, workdir, None):
            tracker.summary(step, values)
            tracker.close()
    except InputError as e:  # results are written; a failed login must not lose them
        report_progress(f"results were not sent: {e}")


def headlines(results: Mapping[str, Any]) -> dict[str, float]:
    """{"results/knn/near/auroc": 0.98, ...}: AUROC and FPR95 of every group's mean, accuracies."""
    values = {
        f"results/{row['detector']}/{row['group']}/{metric}": float(row[metric])
        for row in results["rows"]
        if row["ood"] == "mean"
        for metric in ("auroc", "fpr95")
    }
    accuracies = {k: float(v) for k, v in results.items() if k.endswith("accuracy")}
    return values | {f"results/{k}": v for k, v in accuracies.items()}


class TensorBoard:
    """Event files, written without TensorFlow."""

    def __init__(self, writer):
        """Takes tensorboardX's SummaryWriter."""
        self._writer = writer

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds the values of a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def summary(self, step: int, values: Mapping[str, float]) -> None:
        """Adds them at `step`: there is nothing else."""
        self.scalars(step, values)

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


class WandB:
    """One W&B run per work directory."""

    def __init__(self, workdir: pathlib.Path, settings: dict):
        """Starts the run, or continues that of `workdir`.

        Raises:
          InputError: logging in to W&B fails, for example without a key.
        """
        import wandb

        path = workdir / _ID
        recorded_id = read_json(path, {"id": str}, "delete it")["id"] if path.exists() else None
        run_id = recorded_id or os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4)
        try:
            self._run = wandb.init(
                id=run_id,
                resume="allow",
                config=settings,
                project=os.environ.get("WANDB_PROJECT", "adapt_jax"),
                name=os.environ.get("WANDB_NAME", workdir.resolve().name),
                dir=os.environ.get("WANDB_DIR", str(workdir)),
            )
        except wandb.errors.Error as e:
            raise InputError(
                f"W&B: {str(e).splitlines()[0]}; run `wandb login`, or set WANDB_MODE=offline, or "
                "--config.tracking="
            ) from e
        write_atomically(path, json.dumps({"id": run_id}).encode())

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds the values of a step; W&B already has those of a repeated step, which are equal."""
        if step >= self._run.step:
            self._run.log(dict(values), step=step)

    def summary(self, step: int, values: Mapping[str, float]) -> None:
        """Sets the run's summary."""
        self._run.summary.update(dict(values))

    def close(self) -> None:
        """Ends the run; it can be continued."""
        self._run.finish()


def _tensorboard(folder: pathlib.Path, start: int | None) -> TensorBoard | None:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:  # the core runs without it
        return None
    purge = None if start is None else start + 1
    suffix = f".{time.time_ns()}"  # two files of one second would have one name
    return TensorBoard(SummaryWriter(str(folder), purge_step=purge, filename_suffix=suffix))
