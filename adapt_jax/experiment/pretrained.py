"""Starting a run from weights trained elsewhere (config field `model.pretrained`)."""

from collections.abc import Callable, Sequence

import jax

from adapt_jax import models
from adapt_jax.core import generator
from adapt_jax.core.arrays import to_host
from adapt_jax.core.errors import InputError
from adapt_jax.data import decode, sources
from adapt_jax.data.download import weights
from adapt_jax.experiment import build
from adapt_jax.experiment.record import Experiment
from adapt_jax.runtime import processes, sharding
from adapt_jax.training.train_state import TrainState


def fetch(pretrained: str, report_progress: Callable[[str], None]) -> None:
    """Fetches weights that are named, see `data.download.weights`; of several processes, one does.

    Args:
      pretrained: the field of the config.
      report_progress: function called with a line before a download.

    Raises:
      InputError: there are none of that name, or they cannot be fetched.
    """
    if weights.is_name(pretrained) and processes.is_main():
        weights.obtain(pretrained, report_progress)


def check(config) -> None:
    """Reads the file and fits it to the config's network, before images are decoded.

    Raises:
      InputError: the file cannot be read, tensors are missing, unused or of the wrong shape, or its
        classifier has other classes than the training data.
    """
    if not config.model.pretrained:
        return
    state = _read(config.model)
    # Only the data say how many classes there are; until then the file is believed.
    classes = [len(v) for name, v in state.items() if name.endswith("fc.weight") and v.ndim == 2]
    parts = build.make_parts(
        config,
        mesh=sharding.make_mesh(),
        num_classes=max(2, *classes) if classes else 2,
        num_images=None,
        mean_std=None,
    )
    size = config.image_size
    shapes = jax.eval_shape(lambda k: parts.model.init(k, (size, size, 3)), generator.key(0))
    _fit(config.model.pretrained, state, shapes)
    if classes and "fc" in shapes["params"] and not weights.is_name(config.model.pretrained):
        listed = sources.lazy_set(config.train_data, config.image_size, decode.fit).class_names
        _check_classes(config.model.pretrained, classes[0], listed)


def start(
    experiment: Experiment, state: TrainState, report_progress: Callable[[str], None]
) -> TrainState:
    """`state` with the file's weights in place of the initial ones, replicated over the mesh.

    Args:
      experiment: the run; without `model.pretrained` the state comes back as it is.
      state: the state before the first step; its optimiser state is made anew for the weights.
      report_progress: function called with a line about what the file contains and what it lacks.

    Raises:
      InputError: as `check`.
    """
    choice, mesh = experiment.config.model, experiment.mesh
    if not choice.pretrained:
        return state
    ours = {"params": state.params, "batch_stats": state.batch_stats}
    loaded = _fit(choice.pretrained, _own_classifier(choice.pretrained, _read(choice), ours), ours)
    notes = [f"{stage} starts untrained, the file has none" for stage in loaded.kept]
    if loaded.ignored:
        notes.append(f"ignored {', '.join(loaded.ignored)}, this network has no classifier")
    report_progress("; ".join([f"weights from {choice.pretrained}", *notes]))

    def fresh(variables):
        return variables | {"opt_state": experiment.parts.optimizer.init(variables["params"])}

    placed = sharding.replicate(mesh, to_host(loaded.variables))
    return state._replace(**jax.jit(fresh, out_shardings=sharding.replicated(mesh))(placed))


def _own_classifier(name: str, given, ours):
    """Named weights without their classifier where it has other classes than the training data.

    A file has to be changed by hand for that; a name says nothing of classes.
    """
    theirs = [len(v) for n, v in given.items() if n.endswith("fc.weight") and v.ndim == 2]
    layer = ours["params"].get("fc")
    if not weights.is_name(name) or not theirs or layer is None:
        return given
    if theirs[0] == layer["bias"].shape[0]:
        return given
    return {n: v for n, v in given.items() if not n.endswith(("fc.weight", "fc.bias"))}


def _check_classes(path: str, classes: int, listed: Sequence[str]) -> None:
    """Raises InputError unless the file's classifier has the classes of the training data."""
    if listed and len(listed) != classes:
        raise InputError(
            f"config field model.pretrained, {path}: its classifier has "
            f"{classes} classes, train_data {len(listed)}; train on its classes, or leave "
            "fc.weight and fc.bias out of the file to start a new classifier"
        )


def _read(choice):
    if not weights.is_name(choice.pretrained):
        return models.read_weights(choice.pretrained, allow_pickle=choice.allow_pickle)
    # Checkpoints of projects that are named in the source; reading them runs nothing.
    return models.read_weights(str(weights.obtain(choice.pretrained)), allow_pickle=True)


def _fit(path: str, given, variables) -> models.Pretrained:
    try:
        return models.pretrained(given, variables)
    except InputError as e:
        known = weights.WEIGHTS.get(path)
        fits = f"; {path} is for {known.fits}" if known else ""
        raise InputError(f"config field model.pretrained, {path}: {e}{fits}") from None
