"""One AdaNeg step against the same step written straightforwardly, in one process.

    python benchmarks/adaneg.py [--proxy=sample|task] [--batch=256] [--occupied=1.0] ...

The peer keeps the official layout, updates the memory image by image on the host, builds the
adapted proxies (B x classes x D, a chunk of classes at a time) and softmaxes every group together
with the ID logits. Both take the same steps from the same memory, of which a share of `--occupied`
classes is full, in turns: a step of ours, then one of the peer. CPU seconds are of all threads and
hold on a busy machine. Added peak memory is host memory; the memory of images is there before.
"""

import argparse
import pathlib
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax import zero_shot_detectors
from adapt_jax.zero_shot_detectors import adaneg
from adapt_jax.zero_shot_detectors.memory import Memory

SCALE, GROUPS, BETA, LAMBDA, HIGH, LOW = 100.0, 5, 5.0, 0.1, 0.75, 0.25
einsum = partial(jnp.einsum, precision="highest")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@jax.jit
def peer_proxies(memory, images):
    """memory (c, 1 + L, D), images (B, D) -> cosines with the weighted proxies (B, c).

    The fastest on a CPU of several ways to write it, in JAX, NumPy and PyTorch.
    """
    weight = jnp.exp(-BETA * (1 - einsum("cld,bd->cbl", memory, images)))
    proxy = einsum("cbl,cld->cbd", weight, memory)
    return jnp.sum(proxy * images[None], axis=-1).T / jnp.linalg.norm(proxy, axis=-1).T


@jax.jit
def peer_means(memory, images):
    proxy = jnp.mean(memory, axis=1)
    return einsum("bd,cd->bc", images, proxy / jnp.linalg.norm(proxy, axis=-1, keepdims=True))


@partial(jax.jit, static_argnames="labels")
def peer_share(logits, order, labels):
    groups = logits[:, labels:][:, order]  # (B, G, S)
    own = jnp.broadcast_to(logits[:, None, :labels], (*groups.shape[:2], labels))
    p = jax.nn.softmax(jnp.concatenate([own, groups], axis=-1), axis=-1)
    return p[..., :labels].sum(-1).mean(-1)


def peer_store(memory, entropy, following, images, rows, confidence, labels):
    """The official loop over a batch; memory, entropy, following change in place."""
    length = memory.shape[1] - 1
    for image, row, v in zip(images, rows, confidence):
        if LOW <= v <= HIGH:
            continue
        part = row[:labels] if v > HIGH else row[labels:]
        c = int(np.argmax(part)) + (0 if v > HIGH else labels)
        p = np.exp(part - part.max())
        p /= p.sum()
        h = -np.sum(p * np.log(p + 1e-8))
        if following[c] < length:
            slot = following[c]
            following[c] += 1
        elif (entropy[c] > h).any():
            slot = length - int(np.argmax(entropy[c, ::-1]))
        else:
            continue
        memory[c, slot], entropy[c, slot] = image, h


def peer_step(memory, entropy, following, images, order, labels, proxy, chunk):
    logits = SCALE * peer_means(memory[:, :1], images)
    static = peer_share(logits, order, labels)
    peer_store(memory, entropy, following, images, np.asarray(logits), np.asarray(static), labels)
    if proxy == "task":
        adapted = peer_means(memory, images)
    else:
        pieces = (memory[i : i + chunk] for i in range(0, len(memory), chunk))
        adapted = jnp.concatenate([peer_proxies(piece, images) for piece in pieces], axis=1)
    return np.asarray(peer_share(SCALE * adapted, order, labels) + LAMBDA * static)


class Timed:
    """A step, and of each but the first, which compiles: wall s, CPU s and added peak, GiB."""

    def __init__(self, step):
        self.step, self.scores, self.took = step, [], []

    def __call__(self, batch):
        """Takes the step."""
        before, wall, cpu = forget_peak(), time.perf_counter(), time.process_time()
        self.scores.append(self.step(batch))
        took = time.perf_counter() - wall, time.process_time() - cpu
        self.took.append((*took, memory_gib("VmHWM") - before))

    def medians(self):
        """Medians of wall and CPU seconds, and the largest peak."""
        counted = np.array(self.took[1:])
        return (*np.median(counted[:, :2], axis=0), counted[:, 2].max())


def memory_gib(field):
    """VmRSS (now) or VmHWM (the most since `forget_peak`) of this process; Linux."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20


def forget_peak():
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    return memory_gib("VmRSS")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--negatives", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--memory_length", type=int, default=10)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--occupied", type=float, default=1.0, help="share of full classes")
    parser.add_argument("--proxy", choices=("sample", "task"), default="sample")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each")
    parser.add_argument("--peer_chunk", type=int, default=1000, help="classes at a time")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    total, slots = args.labels + args.negatives, args.memory_length - 1
    texts = unit(rng.standard_normal((total, args.width), dtype=np.float32))

    def around(classes):  # images of these classes
        noise = rng.standard_normal((*classes.shape, args.width), dtype=np.float32)
        return unit(texts[classes] + noise * np.float32(2 / args.width**0.5))

    full = rng.permutation(total)[: int(args.occupied * total)]
    images = np.zeros((total, slots, args.width), np.float32)
    images[full] = around(np.repeat(full[:, None], slots, axis=1))
    entropy, count = np.zeros((total, slots), np.float32), np.zeros(total, np.int32)
    entropy[full], count[full] = rng.random((len(full), slots)), slots
    batches = [around(rng.integers(0, total, args.batch)) for _ in range(1 + args.steps)]

    detector = zero_shot_detectors.make(
        "adaneg", logit_scale=SCALE, groups=GROUPS, beta=BETA, lambda_=LAMBDA,
        memory_length=args.memory_length, proxy=args.proxy,
    )  # fmt: skip
    bank = zero_shot_detectors.TextBank(texts[: args.labels], texts[args.labels :])
    state = detector.init(bank)
    state = state._replace(memory=Memory(*map(jnp.asarray, (images, entropy, count))))
    refresh = jax.jit(adaneg.refresh, donate_argnums=0)
    for classes in np.array_split(np.arange(total), 20):
        state = refresh(state, jnp.asarray(classes), jnp.ones(len(classes), bool))
    state, order = jax.tree.map(jnp.copy, state), np.asarray(state.groups)

    advance = jax.jit(detector.step, donate_argnums=0)
    valid = np.ones(args.batch, bool)

    def ours(batch):
        nonlocal state
        scores, state = advance(state, batch, valid)
        return np.asarray(scores)

    zero = np.zeros_like(texts)[:, None]
    memory = np.concatenate([texts[:, None], images, zero], axis=1)
    table = np.pad(entropy, ((0, 0), (1, 1)))
    peer = partial(
        peer_step, memory, table, 1 + count, order=order, labels=args.labels,
        proxy=args.proxy, chunk=args.peer_chunk,
    )  # fmt: skip
    sides = {"adapt_jax": Timed(ours), "straightforward": Timed(peer)}
    for batch in batches:
        for side in sides.values():
            side(batch)

    device = jax.devices()[0].device_kind
    print(f"{device}, jax {jax.__version__}, {vars(args)}")
    mine, theirs = (np.concatenate(side.scores) for side in sides.values())
    print(f"largest difference of scores: {np.abs(mine - theirs).max():.1e}")
    print("| | median s/step | CPU s/step | images/s | added peak memory, GiB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    found = {name: side.medians() for name, side in sides.items()}
    for name, (wall, cpu, peak) in found.items():
        print(f"| {name} | {wall:.3f} | {cpu:.3f} | {args.batch / wall:.0f} | {peak:.2f} |")
    wall, cpu, _ = np.divide(found["straightforward"], found["adapt_jax"])
    print(f"ratio of medians: {wall:.1f}, of CPU seconds {cpu:.1f}")


if __name__ == "__main__":
    main()
