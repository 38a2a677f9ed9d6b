"""The picture of AdaNeg's proxies: where texts, images and what stands for a class lie.

After the stream of each OOD set, every negative that remembers an image has a task-adaptive proxy;
its sample-adaptive one differs from image to image. The picture shows that of some OOD images, for
the negative that weighs most in the image's score. As figure 1a of the paper, but with principal
components, which are the same every time.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import spread
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import write_atomically
from adapt_jax.core.registry import Spec
from adapt_jax.report import proxy_figure, sweep_figure
from adapt_jax.report.proxy_figure import Panel
from adapt_jax.runtime import processes
from adapt_jax.zero_shot import scoring
from adapt_jax.zero_shot.scoring import Task
from adapt_jax.zero_shot_detectors.streams import run as run_stream

_IMAGES = 300  # whose sample-adaptive proxies are shown
_FILE = "proxies"


def spec_of(specs: Sequence[Spec]) -> Spec:
    """The first detector that has proxies.

    Raises:
      InputError: none has.
    """
    for spec in specs:
        detector: Any = spec.make()
        if detector.insight.proxies is not None:
            return spec
    raise InputError(
        f"--proxies: none of {', '.join(spec.text for spec in specs)} has proxies; add adaneg to "
        "--config.detectors"
    )


def panels(spec: Spec, task: Task, report_progress: Callable[[str], None]) -> list[Panel]:
    """What the picture shows, an OOD set after the other.

    Args:
      spec: a detector with proxies.
      task: the embeddings, mixed.
      report_progress: function called with a line about the current step.
    """
    detector, step = scoring.made(spec.text)
    labels, pictured = len(task.bank.labels), []
    for other in task.others:
        report_progress(f"proxies after the stream of {other}")
        parts, rows, order = scoring.stream_of(task, other)
        fresh = detector.start(task.bank, task.noise)
        _, state = run_stream(step, fresh, rows, order, task.settings.batch_size)
        ood = parts.pop(other)
        shown = jnp.asarray(ood[spread(len(ood), _IMAGES)])
        nearest = labels + jnp.argmax(detector.insight.logits(state, shown)[labels:], axis=0)
        adapted = jax.jit(detector.insight.proxies)
        _, sample = adapted(state, nearest, shown)
        filled = detector.insight.stored(
            state, jnp.arange(labels, labels + len(task.bank.negatives))
        )
        chosen = labels + np.flatnonzero(np.asarray(filled).any(axis=(1, 2)))
        text = jnp.asarray(task.bank.negatives)[chosen - labels]
        task_adaptive, _ = adapted(state, jnp.asarray(chosen), text)
        pictured.append(
            Panel(
                f"{task.groups[other]}: {other}",
                np.asarray(task.bank.labels),
                np.asarray(task.bank.negatives),
                np.concatenate(list(parts.values())),
                ood,
                np.asarray(task_adaptive),
                np.asarray(sample),
            )
        )
    return pictured


def write(
    workdir: pathlib.Path, spec: Spec, task: Task, report_progress: Callable[[str], None], console
) -> None:
    """Writes proxies.png and .svg into a job's folder; arguments as `panels`."""
    picture = proxy_figure.figure(panels(spec, task, report_progress), spec.text)
    if processes.is_main():
        for kind in ("png", "svg"):
            write_atomically(workdir / f"{_FILE}.{kind}", sweep_figure.saved(picture, kind))
        console.print(f"proxies: {workdir / _FILE}.png, .svg", highlight=False)
