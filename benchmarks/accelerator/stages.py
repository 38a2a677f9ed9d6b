"""The stages: what each is, how long it may take, and how it notes what it finds."""

import importlib
import json
import pathlib
import platform
import time
import traceback
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
    group: stages of one group run at the same time, because they measure no time.
    usual: whether it runs when no stages are named. flags: of XLA.
    """

    function: str
    seconds: int
    group: str = ""
    usual: bool = True
    flags: str = ""


DETERMINISTIC = "--xla_gpu_deterministic_ops=true"

# In the order of what matters most, in case the time does not suffice for all. PyTorch's step is
# measured beside ADAPT's with ResNet-18; with ResNet-34 only if adapt_resnet34_pytorch is named.
STAGES = {
    "recorded": Stage("checks:recorded", 150, "right"),
    "two_steps": Stage("checks:two_steps", 100, "right"),
    "bfloat16": Stage("checks:bfloat16", 100, "right"),
    "resume": Stage("checks:resume", 150, "right"),
    "adapt_resnet18": Stage("training:speed?adapt_resnet18", 150),
    "adapt_resnet34": Stage("training:speed?adapt_resnet34", 110),
    "scoring": Stage("scoring:scoring", 110),
    "clip": Stage("scoring:clip", 90),
    "imagenet_resnet50": Stage("training:speed?imagenet_resnet50", 120),
    "reweightood_resnet18": Stage("training:speed?reweightood_resnet18", 80),
    "imagenet_resnet50_host": Stage("training:speed?imagenet_resnet50_host", 120),
    "loader": Stage("loader:loader", 40),
    "adapt_resnet18_deterministic": Stage(
        "training:speed?adapt_resnet18_deterministic", 100, usual=False, flags=DETERMINISTIC
    ),
    "adapt_resnet34_pytorch": Stage("training:speed?adapt_resnet34_pytorch", 200, usual=False),
    "row_reweightood": Stage("rows:row?reweightood", 240, usual=False),
    "row_adapt": Stage("rows:row?adapt", 240, usual=False),
    "row_palm": Stage("rows:row?palm", 240, usual=False),
}


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

    from adapt_jax.runtime import compilation, provenance

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
        commit=provenance.commit(),
        rehearsal="in tiny sizes, whose figures mean nothing" if job.rehearse else "",
    )
