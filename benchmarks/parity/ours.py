"""This library's side: its own training step, network and scores, with the recipe of a config."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict

import adapt_jax
from adapt_jax import detectors, metrics
from adapt_jax.data import augment
from adapt_jax.experiment import build
from adapt_jax.models import torch_names
from adapt_jax.runtime import sharding
from adapt_jax.training import train_state, train_step
from adapt_jax.training.parts import Parts
from adapt_jax.training.train_state import TrainState

_TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}  # HWIO -> OIHW, (in, out) -> (out, in)


class Batch(NamedTuple):
    """views (B, V, S, S, 3), normalised; labels (B,) int32."""

    views: np.ndarray
    labels: np.ndarray


class Sets(NamedTuple):
    """Features (N, F) of training, ID and OOD images, and the training images' labels (N,)."""

    train: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    ood: dict[str, np.ndarray]


def recipe(name: str, **changes: Any):
    """The config `name` with some fields changed; "model__width" stands for `model.width`."""
    config = adapt_jax.load_config(name)
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return config


def parts_of(config, num_images: int) -> Parts:
    """Network, method, optimiser, schedule and augmentation for ten classes on one device."""
    mesh = sharding.make_mesh(jax.devices()[:1])
    scale = (config.mean, config.std)
    return build.make_parts(
        config, mesh=mesh, num_classes=10, num_images=num_images, mean_std=scale
    )


def start(config, parts: Parts, images: np.ndarray, labels: np.ndarray) -> TrainState:
    """The state before the first step, the method's own start on the training set included."""
    state = train_state.create(jax.random.key(config.seed), parts, images.shape[1:])
    if parts.method.start is not None:
        pixels = normalized(config, images, parts.dtype)
        seen = outputs(parts, variables_of(state), pixels)[parts.method.reads]
        state = state._replace(method_state=parts.method.start(state.method_state, seen, labels))
    return state


def batches(config, parts: Parts, images: np.ndarray, labels: np.ndarray) -> list[list[Batch]]:
    """Every epoch's augmented batches, the last one of an epoch as large as what is left."""
    draw, rng = jax.jit(parts.augment), np.random.default_rng(config.seed)
    epochs = []
    for epoch in range(config.epochs):
        order = rng.permutation(len(images))
        keys = jax.random.split(jax.random.key(epoch), -(-len(order) // config.batch_size))
        chosen = [order[i * config.batch_size :][: config.batch_size] for i in range(len(keys))]
        epochs.append(
            [Batch(np.asarray(draw(k, images[c])), labels[c]) for k, c in zip(keys, chosen)]
        )
    return epochs


def by_class(batch: Batch) -> Batch:
    """A batch in the order of its classes, within a class as it was.

    No program here depends on more of the order, so that only the order of its sums changes.
    """
    order = np.argsort(batch.labels, kind="stable")
    return Batch(batch.views[order], batch.labels[order])


def train(parts: Parts, state: TrainState, epochs: Sequence[Sequence[Batch]]):
    """Takes the step of `training.train_step` on every batch -> the last state, its metrics."""
    step = jax.jit(train_step.make_step(parts._replace(augment=lambda key, views: views)))
    record: dict[str, list[float]] = {}
    for batch in (batch for epoch in epochs for batch in epoch):
        state, said = step(state, batch.views, batch.labels)
        for name, value in said.items():
            record.setdefault(name, []).append(float(value))
    return state, {name: np.array(values) for name, values in record.items()}


def variables_of(state: TrainState) -> dict[str, Any]:
    """What the network is applied with."""
    return {"params": state.params, "batch_stats": state.batch_stats}


def prototypes(state: TrainState) -> np.ndarray | None:
    """The method's prototypes (P, D), in the order of the official programs, where it has some."""
    found = getattr(state.method_state, "prototypes", None)
    return None if found is None else np.asarray(found).reshape(-1, found.shape[-1])


def to_torch(variables: Mapping, layout: torch_names.Layout) -> dict[str, np.ndarray]:
    """Our parameters and statistics under the names and in the layouts of a state dict."""
    return {
        torch_names.torch_name(path[1:], layout): np.asarray(leaf).transpose(_TO_TORCH[leaf.ndim])
        for path, leaf in flatten_dict(variables).items()
    }


def groups(weights: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """A state dict as two groups of `compare`: what is learnt, and the running statistics."""
    kinds: dict[str, dict[str, np.ndarray]] = {"weights": {}, "batch statistics": {}}
    for name, array in weights.items():
        if not name.endswith("num_batches_tracked"):
            kinds["batch statistics" if ".running_" in name else "weights"][name] = array
    return kinds


def normalized(config, images: np.ndarray, dtype: Any = np.float32) -> np.ndarray:
    """Pixels as evaluation gives them to the network, normalised as in training."""
    return np.asarray(augment.make_normalize(config.mean, config.std, dtype)(images))


def outputs(parts: Parts, variables: Mapping, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Features (N, F) and embeddings (N, D) of normalised images, in evaluation mode."""
    apply = _evaluated(parts.model.apply)
    found = [apply(variables, pixels[i : i + 500]) for i in range(0, len(pixels), 500)]
    return {
        name: np.concatenate([np.asarray(getattr(o, name)) for o in found])
        for name in ("features", "embeddings")
    }


@functools.cache
def _evaluated(apply: Callable) -> Callable:
    """A network's function in evaluation mode, compiled once for all weights."""
    return jax.jit(lambda variables, images: apply(variables, images, train=False)[0])


def evaluate(sets: Sets, names: Mapping[str, str], fpr: str) -> dict[str, dict[str, np.ndarray]]:
    """AUROC and FPR95 of every OOD set, as fractions.

    Args:
      sets: the features.
      names: the official program's name of a score -> our detector's.
      fpr: the column of `metrics.ood_metrics` that is the program's FPR95.
    """
    found: dict[str, dict[str, np.ndarray]] = {"AUROC": {}, "FPR95": {}}
    for theirs, name in names.items():
        detector = detectors.make(name)
        state = detector.fit(sets.train, sets.labels)
        known = detector.score(state, sets.test)
        for ood, features in sets.ood.items():
            row = metrics.ood_metrics(known, detector.score(state, features))
            found["AUROC"][f"{theirs} {ood}"] = np.array(row["auroc"])
            found["FPR95"][f"{theirs} {ood}"] = np.array(row[fpr])
    return found
