"""An official PyTorch program and this library on the same batches, weights and features.

    python -m benchmarks.parity --method=adapt --repo=PATH --train=npz:cifar10_train.npz \
        --test=npz:cifar10_test.npz --ood=mnist=npz:mnist.npz,textures=npz:textures.npz

PATH is a checkout of the official repository, which is neither changed nor copied. Needs PyTorch,
torchvision and what the checkout imports (docs/parity.md). Prints Markdown tables: its training
loop against ours step by step in float64; its weights in our network; its evaluation on our
features and ours on its; its augmentation against ours. Exit code 1 if anything disagrees.
"""

import argparse
import sys

import jax
import numpy as np
from PIL import Image

from adapt_jax import data
from adapt_jax.core import generator
from adapt_jax.models import torch_names
from benchmarks.parity import augmentation, checkout, compare, ours
from benchmarks.parity.programs import MODULES, base, open_program

STEPS = 1e-8  # relative, after all steps, in float64
FORWARD = 1e-5  # relative, in float32
SWAPPED = {"AUROC": 1e-5, "FPR95": 1e-9}
CONTROLS = {
    "nudge": "the official program from weights changed by {:.0e}",
    "order": "the official program with the images of every batch in the order of their classes",
    "none": "left out",
}
SAME = 0.05  # level of the tests of augmentation, corrected for their number


def trained(program: base.Program, options: argparse.Namespace, images: data.Dataset):
    """Both programs over the same batches -> rows, our end state, their network, description."""
    changes = {
        "model__width": options.width,
        "model__dtype": "float64",
        "batch_size": options.batch_size,
        "epochs": options.epochs,
        "optimizer__schedule": program.schedule,
    }
    config = ours.recipe(program.config, **changes, **program.changes)
    parts = ours.parts_of(config, len(images.images))
    labels = np.asarray(images.labels, np.int32)
    state = ours.start(config, parts, images.images, labels)
    epochs = ours.batches(config, parts, images.images, labels)
    plain = ours.normalized(config, images.images, np.float64)[:, None]
    start = ours.to_torch(ours.variables_of(state), program.layout)
    with checkout.on_cpu(double=True):

        def official(weights, batches):
            network, record, prototypes = program.train(
                config, weights, ours.prototypes(state), batches, ours.Batch(plain, labels)
            )
            return network, record, _groups(record, base.weights(network), prototypes)

        network, record, theirs = official(start, epochs)
        if options.control == "nudge":
            *_, control = official(compare.nudged(start, options.nudge), epochs)
        elif options.control == "order":
            *_, control = official(start, [list(map(ours.by_class, epoch)) for epoch in epochs])
    end, said = ours.train(parts, state, epochs)
    weights = ours.to_torch(ours.variables_of(end), program.layout)
    mine = _groups({k: said[k] for k in record}, weights, ours.prototypes(end))
    rows = compare.compare(mine, theirs, STEPS)
    if options.control != "none":
        apart = compare.compare(control, theirs, STEPS)
        rows = [row._replace(control=c.difference) for row, c in zip(rows, apart)]
    steps = sum(map(len, epochs))
    described = (
        f"{steps} steps in {config.epochs} epochs of {len(images.images)} images, "
        f"{config.batch_size} x {config.views} a step, ResNet-18 of width {options.width}, "
        f"float64; the control is {CONTROLS[options.control].format(options.nudge)}"
    )
    return rows, end, network, described


def _groups(record, weights, prototypes) -> dict[str, dict[str, np.ndarray]]:
    losses = {name: values for name, values in record.items() if name != "learning_rate"}
    rates = {"learning_rate": record["learning_rate"]}
    found = compare.tenths(losses) | {"learning rates": rates} | ours.groups(weights)
    return found | ({} if prototypes is None else {"prototypes": {"prototypes": prototypes}})


def featured(program, options, end, network, train, test, ood):
    """Features of all sets by both programs, and rows for their weights in our network."""
    config = ours.recipe(
        program.config, model__width=options.width, model__dtype="float32", **program.changes
    )
    parts = ours.parts_of(config, len(train.images))
    shapes = jax.eval_shape(lambda: parts.model.init(jax.random.key(0), train.images.shape[1:]))
    with checkout.on_cpu(double=False):
        network = network.float()
        loaded = torch_names.from_torch(base.weights(network), shapes)
        probe = ours.normalized(config, test.images[:500])
        there = base.outputs(network, program.layout, probe)
        rows = compare.compare(
            {"its weights, our network": ours.outputs(parts, loaded, probe)},
            {"its weights, our network": there},
            FORWARD,
        )
    mine = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), ours.variables_of(end))
    labels = np.asarray(train.labels, np.int32)

    def sets(features_of):
        found = [
            features_of(ours.normalized(config, s.images)) for s in (train, test, *ood.values())
        ]
        return ours.Sets(found[0], labels, found[1], dict(zip(ood, found[2:])))

    def theirs(pixels):
        with checkout.on_cpu(double=False):
            return base.outputs(network, program.layout, pixels)["features"]

    return rows, {
        "our features": sets(lambda pixels: ours.outputs(parts, mine, pixels)["features"]),
        "its features": sets(theirs),
    }


def swapped(program, features: dict[str, ours.Sets]):
    """Rows for both evaluations on both programs' features, and the four sets of values."""
    rows, values = [], {}
    for name, sets in features.items():
        with checkout.on_cpu(double=False):
            values[name, "its"] = program.evaluate(sets)
        values[name, "our"] = ours.evaluate(sets, program.scores, program.fpr)
        rows += compare.compare(
            {f"{name}, {metric}": v for metric, v in values[name, "our"].items()},
            {f"{name}, {metric}": v for metric, v in values[name, "its"].items()},
            {f"{name}, {metric}": limit for metric, limit in SWAPPED.items()},
        )
    return rows, values


def augmented(program, options, images: np.ndarray):
    """17 statistics of one view of each image: ours against theirs, and a wrong one of ours.

    Returns:
      The comparison, and the one with brightness 0.3 in place of 0.4 on our side.
    """
    import torch

    config = ours.recipe(program.config, **program.changes)
    torch.manual_seed(options.seed)
    transform = program.transform(config)
    drawn = [transform(Image.fromarray(image)) for image in images]
    first = [view[0] if isinstance(view, (list, tuple)) else view for view in drawn]
    theirs = np.moveaxis(torch.stack(first).numpy(), 1, -1)

    def statistics(views):  # of 8-bit images
        pixels = np.round(255 * (views * config.std + np.array(config.mean)))
        return augmentation.statistics(pixels, images)

    def compared(**changes):
        draw = jax.jit(ours.parts_of(ours.recipe(program.config, **changes), len(images)).augment)
        starts = range(0, len(images), 512)
        keys = [jax.random.key(start) for start in starts]
        parts = [draw(key, images[start : start + 512])[:, 0] for key, start in zip(keys, starts)]
        return augmentation.compare(statistics(np.concatenate(parts)), statistics(theirs))

    given = program.changes
    return compared(**given), compared(augment__brightness=0.3, **given)


def main() -> int:
    """Runs every part, prints the tables and says whether all of them agree."""
    options = _options()
    program = open_program(options.method, options.repo)
    whole = data.load(options.train, 32, labeled=True)
    few = whole._replace(
        images=whole.images[: options.images], labels=whole.labels[: options.images]
    )
    print(
        f"## {options.method} against {program.repository}\n\n"
        f"commit `{checkout.commit(options.repo)}`, {_versions()}\n",
        flush=True,
    )
    rows, end, network, described = trained(program, options, few)
    print(f"### Step by step\n\n{described}\n\n{compare.table(rows)}\n", flush=True)
    if options.steps_only:
        return _verdict(all(row.agrees for row in rows))
    generator.fix_settings()  # single precision again
    test = data.load(options.test, 32)
    ood = dict(entry.split("=", 1) for entry in options.ood.split(","))
    sets = {name: data.load(source, 32) for name, source in ood.items()}
    more, features = featured(program, options, end, network, whole, test, sets)
    if program.scores:
        swap, values = swapped(program, features)
        more += swap
    counts = ", ".join(f"{name} {len(s.images)}" for name, s in sets.items())
    print(f"### Features, scores and metrics\n\n{compare.table(more)}\n")
    print(f"training images {len(whole.images)}, ID test {len(test.images)}, OOD: {counts}\n")
    if program.scores:
        print(f"{_metrics(values)}\n", flush=True)
    compared, control = augmented(program, options, whole.images)
    print(f"### Augmentation, one view of {len(whole.images)} images\n")
    print(f"{augmentation.table(compared)}\n")
    print(f"the smallest p with brightness 0.3 here instead of 0.4: {_least(control):.1e}\n")
    same = _least(compared) > SAME >= _least(control)
    return _verdict(same and all(row.agrees for row in rows + more))


def _verdict(agree: bool) -> int:
    print("everything agrees" if agree else "**something disagrees**")
    return 0 if agree else 1


def _least(compared: list[augmentation.Compared]) -> float:
    return min(row.p for row in compared)


def _metrics(values) -> str:
    names = list(values)
    head = " | ".join(f"{features}, {scores} scores" for features, scores in names)
    lines = [f"| AUROC / FPR95, % | {head} |", "| --- |" + " ---: |" * len(names)]
    for key in values[names[0]]["AUROC"]:
        cells = (
            f"{100 * values[n]['AUROC'][key]:.4f} / {100 * values[n]['FPR95'][key]:.2f}"
            for n in names
        )
        lines.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _versions() -> str:
    import torch
    import torchvision

    found = {"Python": sys.version.split()[0], "PyTorch": torch.__version__}
    found |= {"torchvision": torchvision.__version__, "JAX": jax.__version__}
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--method", required=True, choices=sorted(MODULES))
    parser.add_argument("--repo", required=True, help="checkout of the official repository")
    parser.add_argument("--train", required=True, help="source of ID training images, see data.md")
    parser.add_argument("--test", required=True, help="source of ID test images")
    parser.add_argument("--ood", required=True, help="name=source,... of at most five OOD sets")
    parser.add_argument("--images", type=int, default=320, help="training images of the steps")
    parser.add_argument("--batch_size", type=int, default=64, help="images of a step, two views")
    parser.add_argument("--epochs", type=int, default=12, help="epochs of the steps")
    parser.add_argument("--width", type=int, default=8, help="channels of the first stage")
    parser.add_argument("--control", choices=CONTROLS, default="nudge", help="of the steps")
    parser.add_argument("--nudge", type=float, default=1e-15, help="relative, of its weights")
    parser.add_argument("--steps_only", action="store_true", help="leave the other parts out")
    parser.add_argument("--seed", type=int, default=0, help="of the official augmentation")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
