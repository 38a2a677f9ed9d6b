"""How many images a second PyTorch's usual input pipeline for CIFAR could feed."""

import functools
import importlib.util
import os

from benchmarks.accelerator import turns
from benchmarks.accelerator.stages import Job

SECONDS = 15.0


def loader(job: Job) -> None:
    """torchvision's transforms of the contrastive recipes, two views, a worker per core.

    They are forked from a process of PyTorch's, because this one has started JAX.
    """
    note = functools.partial(job.note, "pytorch", "DataLoader, two views of CIFAR")
    if not all(importlib.util.find_spec(name) for name in ("torch", "torchvision")):
        return note(how="PyTorch or torchvision is not installed")
    count = 2 if job.rehearse else len(os.sched_getaffinity(0))
    batch, end = (64, 1.0) if job.rehearse else (512, SECONDS)
    peer = turns.Peer("loader", {"workers": count, "batch": batch})
    try:
        note(how=peer.wait().facts["how"])
        peer.seconds(2 * count)  # batches that were ready
        seen, took = 0, 0.0
        while took < end:
            took += count * peer.seconds(count)
            seen += count * batch
            note(**{"images/s": seen / took})
    finally:
        peer.close()
