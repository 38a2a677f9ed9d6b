"""The stages: what each is, how long it may take, and how it notes what it finds."""

import importlib
import json
import pathlib
import platform
import time
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple


class Job(NamedTuple):
    """What a stage is given.

    rehearse: whether sizes are tiny. scratch: an empty folder of its own. prepared: the folder that
    `prepare` packed, or None. notes: file that the stage's figures are appended to. out: folder of
    the results. stage: its name.
    """

    rehearse: bool
    scratch: pathlib.Path
    prepared: pathlib.Path | None
    notes: pathlib.Path
    out: pathlib.Path
    stage: str = ""

    def note(self, table: str, row: str, **values: Any) -> None:
        """Keeps figures of one row of a table, at once."""
        line = json.dumps({"table": table, "row": row, "values": values, "stage": self.stage})
        with self.notes.open("a") as file:
            file.write(line + "\n")


class Stage(NamedTuple):
    """One stage.

    function: "module:function" of this package, with the arguments after "?". seconds: its limit.
    least: seconds that the stages before it leave to it.
    group: stages of one group run at the same time, because they measure no time.
    usual: whether it runs when no stages are named. flags: of XLA.
    """

    function: str
    seconds: int
    least: int = 0
    group: str = ""
    usual: bool = True
    flags: str = ""


DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
_BETWEEN = 1.0  # seconds from one stage to the next, at most

# In the order of what matters most, in case the time does not suffice for all. PyTorch's step is
# measured beside ADAPT's with ResNet-18; with ResNet-34 only if adapt_resnet34_pytorch is named.
STAGES = {
    "recorded": Stage("checks:recorded", 150, 100, "right"),
    "two_steps": Stage("checks:two_steps", 100, 60, "right"),
    "bfloat16": Stage("checks:bfloat16", 100, 60, "right"),
    "resume": Stage("checks:resume", 150, 100, "right"),
    "adapt_resnet18": Stage("training:speed?adapt_resnet18", 150, 60),
    "adapt_resnet34": Stage("training:speed?adapt_resnet34", 110, 45),
    "scoring": Stage("scoring:scoring", 110, 45),
    "clip": Stage("scoring:clip", 90, 30),
    "imagenet_resnet50": Stage("training:speed?imagenet_resnet50", 120, 45),
    "reweightood_resnet18": Stage("training:speed?reweightood_resnet18", 80, 25),
    "imagenet_resnet50_host": Stage("training:speed?imagenet_resnet50_host", 120, 25),
    "loader": Stage("loader:loader", 40, 20),
    "adapt_resnet18_deterministic": Stage(
        "training:speed?adapt_resnet18_deterministic", 100, 60, usual=False, flags=DETERMINISTIC
    ),
    "adapt_resnet34_pytorch": Stage("training:speed?adapt_resnet34_pytorch", 200, 80, usual=False),
    "row_reweightood": Stage("rows:row?reweightood", 240, 120, usual=False),
    "row_adapt": Stage("rows:row?adapt", 240, 120, usual=False),
    "row_palm": Stage("rows:row?palm", 240, 120, usual=False),
}


def grouped(names: Sequence[str]) -> list[list[str]]:
    """The stages that run at the same time, in the order in which each group is first named."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(STAGES[name].group or f"only {name}", []).append(name)
    return list(found.values())


def limits(
    group: Sequence[str], later: Sequence[Sequence[str]], left: float, slower: float = 1.0
) -> dict[str, float]:
    """Seconds that each stage of a group may take: its limit, but what leaves the others theirs.

    Args:
      group: stages that start now.
      later: the groups after it; each is left the least it needs, if that leaves this one its own.
      left: seconds for all of them.
      slower: factor of every limit, not of what is left to others.
    """
    least = [max(STAGES[name].least for name in names) for names in (group, *later)]
    most = min(max(left - sum(least[1:]) - _BETWEEN * len(later), least[0]), left)
    return {name: min(slower * STAGES[name].seconds, most) for name in group}


def run(name: str, job: Job) -> bool:
    """Runs a stage in this process; True if it ended well. A failure is noted."""
    module, _, rest = STAGES[name].function.partition(":")
    function, _, argument = rest.partition("?")
    began = time.perf_counter()
    failed = ""
    try:
        _versions(job)
        stage = getattr(importlib.import_module(f"benchmarks.accelerator.{module}"), function)
        stage(job._replace(stage=name), *([argument] if argument else []))
    except Exception as e:
        traceback.print_exc()
        failed = f"{type(e).__name__}: {e}".splitlines()[0][:300]
    job.note("stages", name, seconds=round(time.perf_counter() - began, 1), failed=failed)
    return not failed


def _versions(job: Job) -> None:
    import jax

    from adapt_jax.runtime import compilation

    compilation.use_cache()
    device = jax.devices()[0]
    job.note(
        "machine",
        "machine",
        device=device.device_kind,
        devices=jax.device_count(),
        platform=device.platform,
        runtime=getattr(device.client, "platform_version", "").replace("\n", " "),
        jax=jax.__version__,
        python=platform.python_version(),
        rehearsal="in tiny sizes, whose figures mean nothing" if job.rehearse else "",
    )
