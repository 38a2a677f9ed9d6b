"""How many images a second PyTorch's usual input pipeline for CIFAR could feed."""

import importlib.util
import os
import time

import numpy as np

from benchmarks.accelerator.stages import Job


def loader(job: Job) -> None:
    """torchvision's transforms of the contrastive recipes, two views, a worker per core."""
    if not all(importlib.util.find_spec(name) for name in ("torch", "torchvision")):
        job.note("pytorch", "DataLoader", how="PyTorch or torchvision is not installed")
        return
    import torch
    import torchvision
    from PIL import Image
    from torchvision import transforms

    jitter = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
    views = transforms.Compose(
        [
            transforms.RandomResizedCrop(32, (0.2, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([jitter], 0.8),
            transforms.RandomGrayscale(0.2),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )
    pixels = np.random.default_rng(0).integers(0, 256, (256, 32, 32, 3), dtype=np.uint8)

    class Images(torch.utils.data.Dataset):
        def __len__(self):
            return 512 * (2 if job.rehearse else 60)

        def __getitem__(self, i):
            image = Image.fromarray(pixels[i % len(pixels)])
            return views(image), views(image)

    count = 2 if job.rehearse else len(os.sched_getaffinity(0))
    batches = torch.utils.data.DataLoader(
        Images(), 256 if job.rehearse else 512, num_workers=count, drop_last=True
    )
    iterator = iter(batches)
    next(iterator)  # the workers have started
    began, seen = time.perf_counter(), 0
    for first, _ in iterator:
        seen += len(first)
        if time.perf_counter() - began > 15:
            break
    rate = seen / (time.perf_counter() - began)
    how = f"torchvision {torchvision.__version__}, {count} workers"
    job.note("pytorch", "DataLoader, two views of CIFAR", **{"images/s": rate, "how": how})
