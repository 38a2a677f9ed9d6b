"""Trainings of the official ADAPT and of this library, each with its own random numbers.

    python -m benchmarks.parity.independent --repo=../ADAPT --train=npz:cifar10_train.npz \
        --test=npz:cifar10_test.npz --ood=mnist=npz:mnist.npz --out=parity_runs --seeds=17

Each seed trains once with either program, one after the other, from own initial weights, in own
order and with own augmentation, and evaluates each with its own scores. Every run leaves its
features and its figures in a file of `--out`; a run whose file is there is not repeated. Prints a
Markdown table: means and standard deviations over the runs, and whether Welch's test tells them
apart, also after Holm's correction for the number of rows.
"""

import argparse
import pathlib
import time

import jax
import numpy as np
from scipy import stats

from adapt_jax import data
from adapt_jax.metrics import comparison
from adapt_jax.training import train_state, train_step
from benchmarks.parity import checkout, ours
from benchmarks.parity.programs import base, open_program


class Ours:
    """This library's training step, compiled once for all seeds."""

    name = "ours"

    def __init__(self, program: base.Program, config, train: data.Dataset):
        self.program, self.config, self.train = program, config, train
        self.parts = ours.parts_of(config, len(train.images))
        self.step = jax.jit(train_step.make_step(self.parts))

    def run(self, seed: int, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Trains from a seed -> the losses of all steps, the features (N, F) of `pixels`."""
        images, labels = self.train.images, np.asarray(self.train.labels, np.int32)
        state = train_state.create(jax.random.key(seed), self.parts, images.shape[1:])
        rng, losses, size = np.random.default_rng(seed), [], self.config.batch_size
        for _ in range(self.config.epochs):
            order = rng.permutation(len(images))
            for first in range(0, len(order), size):
                chosen = order[first : first + size]
                state, said = self.step(state, images[chosen], labels[chosen])
                losses.append(said["loss"])
        found = ours.outputs(self.parts, ours.variables_of(state), pixels)["features"]
        return np.array(losses, np.float64), found

    def evaluate(self, sets: ours.Sets) -> base.Metrics:
        """Its scores of its features."""
        return ours.evaluate(sets, self.program.scores, self.program.fpr)


class Official:
    """The official program."""

    name = "official"

    def __init__(self, program: base.Program, config, train: data.Dataset):
        self.program, self.config, self.train = program, config, train

    def run(self, seed: int, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Ours.run`."""
        with checkout.on_cpu(double=False):
            network, record = self.program.train_alone(
                self.config, self.train.images, self.train.labels, seed
            )
            found = base.outputs(network, self.program.layout, pixels)["features"]
        return record["loss"], found

    def evaluate(self, sets: ours.Sets) -> base.Metrics:
        """Its scores of its features."""
        with checkout.on_cpu(double=False):
            return self.program.evaluate(sets)


def figures(losses: np.ndarray, metrics: base.Metrics, steps: int) -> dict[str, float]:
    """name -> one run's mean loss of its last epoch, and every metric of every set in percent."""
    found = {"loss of the last epoch": float(losses[-steps:].mean())}
    return found | {
        f"{metric}, {which}": 100 * float(value)
        for metric, values in metrics.items()
        for which, value in values.items()
    }


def table(official: list[dict[str, float]], mine: list[dict[str, float]]) -> str:
    """The runs of both programs in Markdown, one row for each figure; a side needs two runs."""
    names = list(official[0])
    sides = [{n: np.array([run[n] for run in runs]) for n in names} for runs in (official, mine)]
    raw = [stats.ttest_ind(*(side[n] for side in sides), equal_var=False).pvalue for n in names]
    corrected = comparison.holm(np.array(raw))
    lines = [
        f"| | official, {len(official)} runs | ours, {len(mine)} runs | p (Welch) | p (Holm) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for n, p, q in zip(names, raw, corrected):
        cells = [f"{side[n].mean():.2f} ± {side[n].std(ddof=1):.2f}" for side in sides]
        lines.append(f"| {n} | {' | '.join(cells)} | {p:.3f} | {q:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Trains what is missing and prints the table of what is there."""
    options = _options()
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    program = open_program("adapt", options.repo)
    config = ours.recipe(
        program.config,
        model__width=options.width,
        batch_size=options.batch_size,
        epochs=options.epochs,
        optimizer__schedule=program.schedule,
        **program.changes,
    )
    train, test = _first(options.train, options.images), _first(options.test, options.known)
    named = dict(entry.split("=", 1) for entry in options.ood.split(","))
    ood = {name: _first(source, options.unknown) for name, source in named.items()}
    images = [s.images for s in (train, test, *ood.values())]
    pixels = ours.normalized(config, np.concatenate(images))
    ends = np.cumsum([len(part) for part in images])[:-1]
    end = time.monotonic() + 60 * options.minutes
    sides = [Official(program, config, train), Ours(program, config, train)]
    steps = -(-len(train.images) // config.batch_size)
    for seed in range(options.first, options.first + options.seeds):
        for side in sides:
            file = out / f"{side.name}_{seed}.npz"
            if file.exists() or time.monotonic() > end:
                continue
            started = time.process_time()
            losses, features = side.run(seed, pixels)
            features = np.split(features, ends)
            sets = ours.Sets(features[0], train.labels, features[1], dict(zip(ood, features[2:])))
            found = figures(losses, side.evaluate(sets), steps)
            arrays = dict(zip(["train", "test", *ood], features))
            np.savez(file, losses=losses, names=list(found), values=list(found.values()), **arrays)
            print(
                f"{file.name}: {time.process_time() - started:.0f} s of one core, {found}",
                flush=True,
            )
    runs = {side.name: [_read(f) for f in sorted(out.glob(f"{side.name}_*"))] for side in sides}
    print(
        f"\n{options.epochs} epochs of {len(train.images)} images, {config.batch_size} x "
        f"{config.views} a step, ResNet-18 of width {options.width}, float32\n\n"
        f"{table(runs['official'], runs['ours'])}"
    )


def _first(source: str, count: int) -> data.Dataset:
    """The first images of a source."""
    whole = data.load(source, 32)
    labels = None if whole.labels is None else whole.labels[:count]
    return whole._replace(images=whole.images[:count], labels=labels)


def _read(file: pathlib.Path) -> dict[str, float]:
    with np.load(file) as saved:
        return dict(zip(saved["names"].tolist(), saved["values"].tolist()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repo", required=True, help="checkout of JINHYUKSUH/ADAPT")
    parser.add_argument("--train", required=True, help="source of ID training images, see data.md")
    parser.add_argument("--test", required=True, help="source of ID test images")
    parser.add_argument("--ood", required=True, help="name=source,... of at most five OOD sets")
    parser.add_argument("--out", required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=16, help="runs of either program")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--minutes", type=float, default=1e6, help="start no run after this long")
    parser.add_argument("--images", type=int, default=5120, help="training images")
    parser.add_argument("--known", type=int, default=2000, help="ID test images")
    parser.add_argument("--unknown", type=int, default=1000, help="images of every OOD set")
    parser.add_argument("--batch_size", type=int, default=128, help="images of a step, two views")
    parser.add_argument("--epochs", type=int, default=14, help="epochs")
    parser.add_argument("--width", type=int, default=8, help="channels of the first stage")
    return parser.parse_args()


if __name__ == "__main__":
    main()
