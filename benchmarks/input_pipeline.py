"""Images a second that workers decode and crop for training, beside a torch DataLoader.

    python benchmarks/input_pipeline.py [--images=256] [--rounds=5] [--workers=1] [--views=1,2]

Both read the same JPEGs of about 500 x 375, take RandomResizedCrop(224, scale (0.2, 1)) of each, V
times, with Pillow, and hand over uint8 batches of 64; in turns, in one run. Needs PyTorch. Seconds
of CPU are those of all processes involved, so that other jobs on the machine matter little.
"""

import argparse
import math
import os
import pathlib
import platform
import statistics
import tempfile
import time

import numpy as np
import PIL
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from adapt_jax.data import sources
from adapt_jax.data.augment import host_crops
from adapt_jax.data.workers import pool as workers
from adapt_jax.data.workers import process

SIZE, BATCH, SCALE, RATIO, CHUNK = 224, 64, (0.2, 1.0), (3 / 4, 4 / 3), 8
TICK = os.sysconf("SC_CLK_TCK")


def make_images(root: pathlib.Path, count: int) -> None:
    """JPEGs of ImageNet's usual size and quality from two photos, no two alike."""
    rng, photos = np.random.default_rng(0), load_sample_images().images
    (root / "class").mkdir(parents=True)
    for i in range(count):
        photo = Image.fromarray(photos[i % 2])
        left, top = rng.integers(0, 160), rng.integers(0, 107)
        part = photo.crop((left, top, left + 480, top + 320))
        size = (500, int(rng.integers(333, 417)))
        noisy = np.asarray(part.resize(size, Image.Resampling.BICUBIC)).astype(int)
        noisy = np.clip(noisy + rng.normal(0, 4, noisy.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(root / "class" / f"{i:05}.jpg", quality=96)


class Peer(torch.utils.data.Dataset):
    """torchvision's transform, written out, on the same files."""

    def __init__(self, paths, views):
        self.paths, self.views = paths, views

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        with Image.open(self.paths[i]) as image:
            image = image.convert("RGB")
        return torch.stack([self._view(image) for _ in range(self.views)])

    def _view(self, image):
        width, height = image.size
        for _ in range(10):
            area = height * width * torch.empty(1).uniform_(*SCALE).item()
            ratio = math.exp(torch.empty(1).uniform_(*map(math.log, RATIO)).item())
            wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < wide <= width and 0 < tall <= height:
                break
        else:
            wide, tall = width, height
        top = torch.randint(0, height - tall + 1, (1,)).item()
        left = torch.randint(0, width - wide + 1, (1,)).item()
        part = image.crop((left, top, left + wide, top + tall))
        pixels = part.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(pixels))


def cpu_seconds() -> float:
    """Of this process and its living children."""
    children = pathlib.Path("/proc/self/task").glob("*/children")
    ids = [word for path in children for word in path.read_text().split()]
    fields = [pathlib.Path(f"/proc/{i}/stat").read_text().rpartition(")")[2].split() for i in ids]
    return time.process_time() + sum(int(f[11]) + int(f[12]) for f in fields) / TICK


def torch_batches(root, views, count):
    paths = sorted(str(p) for p in root.rglob("*.jpg"))
    loader = torch.utils.data.DataLoader(
        Peer(paths, views), BATCH, shuffle=True, num_workers=count, persistent_workers=True
    )
    while True:
        for batch in loader:
            yield batch.numpy()


def our_batches(root, views, count):
    images = sources.load(f"folder:{root}", SIZE, at_most=0).images
    cut = host_crops.Crops(SIZE, views, SCALE, (0, 1))
    pool = workers.Workers(count, cut, 2 * BATCH)
    order, pending, step = np.random.default_rng(0), [], 0
    try:
        while True:
            for chosen in order.permutation(len(images)).reshape(-1, BATCH):
                first = step % 2 * BATCH
                items = [process.Item(images.encoded(i), images.name(i), int(i)) for i in chosen]
                jobs = [
                    pool.submit(first + k, step, items[k : k + CHUNK])
                    for k in range(0, BATCH, CHUNK)
                ]
                pending.append((first, jobs))
                step += 1
                if len(pending) == 2:
                    first, jobs = pending.pop(0)
                    for job in jobs:
                        job.result()
                    yield pool.rows[first : first + BATCH].copy()
    finally:
        pool.close()


def measure(batches, number: int) -> tuple[float, float]:
    """Images per second, and per second of CPU, over so many batches."""
    began, used = time.perf_counter(), cpu_seconds()
    for _ in range(number):
        next(batches)
    done = number * BATCH
    return done / (time.perf_counter() - began), done / (cpu_seconds() - used)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("images", 256), ("rounds", 5), ("workers", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--views", default="1,2")
    args = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"Pillow {PIL.__version__}, torch {torch.__version__}; {args.workers} worker(s)"
    )
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        make_images(root, args.images)
        sizes = [p.stat().st_size for p in root.rglob("*.jpg")]
        print(f"{args.images} JPEGs, {statistics.mean(sizes) / 1000:.0f} kB on average")
        print("| views | | images/s | images per second of CPU | ratio of the latter |")
        print("| ---: | --- | ---: | ---: | ---: |")
        for views in map(int, args.views.split(",")):
            kinds = {"torch DataLoader": torch_batches, "adapt_jax": our_batches}
            found = {name: [] for name in kinds}
            for turn in range(args.rounds):
                for name, make in list(kinds.items())[:: 1 if turn % 2 else -1]:
                    batches = make(root, views, args.workers)
                    next(batches)  # everything has started
                    found[name].append(measure(batches, 3 * args.images // BATCH))
                    batches.close()
            middle = {n: [statistics.median(x) for x in zip(*f)] for n, f in found.items()}
            base = middle["torch DataLoader"][1]
            for name, (wall, cpu) in middle.items():
                print(f"| {views} | {name} | {wall:.0f} | {cpu:.0f} | {cpu / base:.2f} |")


if __name__ == "__main__":
    main()
