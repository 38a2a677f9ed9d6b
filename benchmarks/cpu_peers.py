"""Scoring, fitting and a training step on CPUs, beside well-written peers, in turns.

    python -m benchmarks.cpu_peers --python=PATH [--rounds=5] [--only=knn,fits,...]

PATH is a Python that has PyTorch, and may have faiss (`python -m venv VENV && VENV/bin/pip install
torch numpy faiss-cpu`): the peers run there, in a process of their own (`cpu_peers_pytorch.py`), on
the same arrays. A round measures ours, then the peer; medians of wall and CPU seconds are printed
as a table, and how far the results are apart. CPU seconds are of all threads and hold on a busy
machine; `taskset -c 0` in front gives both sides one core and steadier ratios. Fits are measured
against the float64 product of the features alone; AdaNeg has a benchmark of its own (`adaneg.py`).
"evaluate" evaluates a small network with the gradient detectors, each alone and all of them
together, and with every detector.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adapt_jax
from adapt_jax import detectors, models, zero_shot_detectors
from adapt_jax.config import default_config
from adapt_jax.core.arrays import unit_rows
from adapt_jax.detectors import Head, Outputs

K, CLASSES, WIDTH = 300, 100, 512
LABELS, NEGATIVES, IMAGES, BATCH = 1000, 10_000, 256, 64
WIDTHS = (16, 64)  # of the networks
FITS = ("mahalanobis", "mahalanobis?covariance=within", "rmds", "ssd", "palm_ssd", "vim")
GRADIENTS = ("odin", "iodin", "adascale")
Run = Callable[[], object]


class Peer:
    """The process of `cpu_peers_pytorch.py`, which waits for its turns."""

    def __init__(self, python: str, folder: pathlib.Path):
        script = pathlib.Path(__file__).with_name("cpu_peers_pytorch.py")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [python, script, folder], stdin=pipe, stdout=pipe, text=True
        )
        facts = json.loads(self._process.stdout.readline())
        self.tasks, self.versions, self._folder = facts["tasks"], facts["versions"], folder

    def seconds(self, task: str) -> tuple[float, float]:
        """Wall and CPU seconds of one go."""
        self._process.stdin.write(f"{task}\n")
        self._process.stdin.flush()
        return tuple(json.loads(self._process.stdout.readline()))

    def result(self, task: str) -> np.ndarray:
        """What the last go found."""
        return np.load(self._folder / f"{task}.npy")


def seconds(run: Run) -> tuple[float, float]:
    """Wall and CPU seconds of one go of ours."""
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(run())
    return time.perf_counter() - wall, time.process_time() - cpu


def in_turns(runs: Mapping[str, Callable[[], tuple[float, float]]], rounds: int):
    """Medians of (wall, CPU) seconds by name, after a round that does not count."""
    took: dict[str, list] = {name: [] for name in runs}
    for _ in range(1 + rounds):
        for name, run in runs.items():
            took[name].append(run())
    return {name: np.median(values[1:], axis=0) for name, values in took.items()}


def row(title: str, peer: str, ours: np.ndarray, theirs: np.ndarray, note: str = "") -> None:
    numbers = [*ours, *theirs, *(theirs / ours)]
    print(f"| {title} | {peer} |", *(f"{x:.3g} |" for x in numbers), f"{note} |", flush=True)


def arrays() -> dict[str, np.ndarray]:
    """What both sides read."""
    rng = np.random.default_rng(0)
    normal = partial(rng.standard_normal, dtype=np.float32)
    labels = rng.integers(0, CLASSES, 50_000).astype(np.int32)
    return {
        "bank": normal((50_000, WIDTH)) + normal((CLASSES, WIDTH))[labels],
        "bank_labels": labels,
        "queries": normal((10_000, WIDTH)),
        "texts": unit_rows(normal((LABELS + NEGATIVES, WIDTH))),
        "images": unit_rows(normal((IMAGES, WIDTH))),
        "pixels": normal((BATCH, 32, 32, 3)),
        "classes": rng.integers(0, 10, BATCH).astype(np.int32),
        "widths": np.array(WIDTHS),
        "labels": np.array(LABELS),
        "k": np.array(K),
    }


def training(width: int, given: Mapping[str, np.ndarray]) -> Run:
    """A step of our network: forward, cross-entropy, backward and SGD with momentum."""
    model = models.make("resnet18", width=width, head="linear", num_classes=10)
    variables = model.init(jax.random.key(0), given["pixels"].shape[1:])
    optimizer = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(0.01, 0.9))
    params, statistics = variables["params"], variables["batch_stats"]

    @partial(jax.jit, donate_argnums=0)
    def step(state, pixels, classes):
        params, statistics, opt_state = state

        def loss(params):
            variables = {"params": params, "batch_stats": statistics}
            outputs, new = model.apply(variables, pixels, train=True)
            losses = optax.softmax_cross_entropy_with_integer_labels(outputs.logits, classes)
            return jnp.mean(losses), new

        (value, new), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), new, opt_state), value

    state = params, statistics, optimizer.init(params)
    pixels, classes = jnp.asarray(given["pixels"]), jnp.asarray(given["classes"])

    def run():
        nonlocal state
        state, value = step(state, pixels, classes)
        return value

    return run


def beside_pytorch(given: Mapping[str, np.ndarray], python: str, rounds: int, wanted) -> None:
    """kNN, Mahalanobis, NegLabel and training steps beside PyTorch and faiss."""
    train = Outputs(given["bank"], labels=given["bank_labels"])
    knn, gaussians = detectors.make("knn", k=K), detectors.make("mahalanobis")
    bank, fitted = knn.fit(train), gaussians.fit(train)
    neglabel = zero_shot_detectors.make("neglabel")
    texts = zero_shot_detectors.TextBank(given["texts"][:LABELS], given["texts"][LABELS:])
    state, valid = neglabel.init(texts), np.ones(IMAGES, bool)
    few = given["queries"][:2000]
    shared = {**given, "queries": few, "groups": np.asarray(state.groups)}
    shared |= {name: np.asarray(value) for name, value in fitted._asdict().items()}
    ours: dict[str, tuple[str, Run]] = {
        "knn": ("kNN, 50,000 x 512, k = 300, 2,000 queries", lambda: knn.score(bank, few)),
        "mahalanobis": (
            "Mahalanobis, 100 classes, 2,000 x 512", lambda: gaussians.score(fitted, few)
        ),
        "neglabel": (
            "NegLabel, 1,000 + 10,000 texts, 256 images",
            lambda: neglabel.step(state, given["images"], valid)[0],
        ),
    }  # fmt: skip
    ours["knn_faiss"] = ours["knn"]
    for width in WIDTHS:
        title = f"training step, ResNet-18 of width {width}, {BATCH} images of 32 x 32"
        ours[f"training{width}"] = (title, training(width, given))
    with tempfile.TemporaryDirectory() as folder:
        np.savez(pathlib.Path(folder) / "arrays.npz", **shared)
        peer = Peer(python, pathlib.Path(folder))
        print(f"\n{peer.versions}\n")
        heading()
        for task, (title, run) in ours.items():
            if task in peer.tasks and any(task.startswith(name) for name in wanted):
                both = {"ours": partial(seconds, run), "peer": partial(peer.seconds, task)}
                took, note = in_turns(both, rounds), ""
                if not task.startswith("training"):
                    apart = np.abs(np.asarray(run()) - peer.result(task)).max()
                    note = f"scores {apart:.0e} apart"
                name = "faiss" if task.endswith("faiss") else "PyTorch"
                row(title, name, took["ours"], took["peer"], note)


def fits(given: Mapping[str, np.ndarray], rounds: int) -> None:
    """Fits of detectors beside the float64 product of the features."""
    rng, wide = np.random.default_rng(1), given["bank"].astype(np.float64)
    kernel = rng.standard_normal((WIDTH, CLASSES), dtype=np.float32)
    head = Head(kernel, np.zeros(CLASSES, np.float32))
    train = Outputs(given["bank"], given["bank"] @ kernel, given["bank_labels"])
    runs = {
        name: partial(seconds, partial(detectors.make(name).fit, train, head=head)) for name in FITS
    }
    took = in_turns({"product": partial(seconds, lambda: wide.T @ wide), **runs}, rounds)
    for name in FITS:
        row(f"`{name}` fit, 50,000 x 512", "its float64 product alone", took[name], took["product"])


def evaluation() -> None:
    """Seconds of `evaluate --detectors=all`, of a run that has hardly been trained."""
    rng, rows = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder:
        config = default_config("cross_entropy")
        for name, count in (("train", 1000), ("val", 250), ("test", 1000), ("ood", 1000)):
            path = pathlib.Path(folder) / f"{name}.npz"
            images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
            np.savez(path, images=images, labels=np.arange(count) % 10)
            field, source = (name, "far/noise=") if name == "ood" else (f"{name}_data", "")
            config[field] = f"{source}npz:{path}"
        config.model.name, config.model.width = "resnet18", 8
        config.batch_size, config.epochs, config.detectors = 125, 1, "msp"
        workdir = str(pathlib.Path(folder) / "run")
        adapt_jax.train(config, workdir)
        for chosen in (*GRADIENTS, ",".join(GRADIENTS), "all"):
            wall, cpu = time.perf_counter(), time.process_time()
            adapt_jax.evaluate(workdir, detectors=chosen)
            took = time.perf_counter() - wall, time.process_time() - cpu
            rows.append(f"| `--detectors={chosen}` | {took[0]:.1f} | {took[1]:.1f} |")
    print("\n| evaluate, 1,000 ID and 1,000 OOD images | wall s | CPU s |\n| --- | ---: | ---: |")
    print(*rows, sep="\n")  # behind what the commands print


def heading() -> None:
    print(
        "| what | peer | ours, wall s | CPU s | peer, wall s | CPU s | peer / ours, wall |", end=""
    )
    print(" CPU | |\n| --- | --- |" + " ---: |" * 6 + " --- |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="knn,mahalanobis,neglabel,training,fits,evaluate")
    options = parser.parse_args()
    wanted, given = options.only.split(","), arrays()
    print(f"{jax.devices()[0].device_kind} x {jax.device_count()}, jax {jax.__version__}")
    print(f"numpy {np.__version__}, {options.rounds} rounds")
    if set(wanted) - {"fits", "evaluate"}:
        beside_pytorch(given, options.python, options.rounds, wanted)
    if "fits" in wanted:
        print()
        heading()
        fits(given, options.rounds)
    if "evaluate" in wanted:
        evaluation()


if __name__ == "__main__":
    main()
