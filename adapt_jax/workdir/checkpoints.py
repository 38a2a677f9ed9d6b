"""Saving and restoring runs with Orbax: the newest and the best state, and the run's config."""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from adapt_jax.config import completed
from adapt_jax.config.effects import Effect, changed
from adapt_jax.core import generator
from adapt_jax.core.errors import InputError
from adapt_jax.core.files import write_atomically
from adapt_jax.runtime import processes


class Checkpoints:
    """The `checkpoints/` folder of a work directory: the latest state and the best by loss."""

    def __init__(self, workdir: pathlib.Path, *, cleanup: bool = True):
        """Opens the folder, creating it if need be.

        `cleanup` removes what a killed program left half written: only for who holds the work
        directory, since it may be a program that is writing now.
        """
        newest = policies.LatestN(n=1)
        # Orbax's best-n alone would delete the newest whenever it is not among the best.
        best = policies.BestN(get_metric_fn=_loss, reverse=True, n=1)
        options = ocp.CheckpointManagerOptions(
            best_fn=_loss,  # without it no metrics are saved at all
            best_mode="min",
            preservation_policy=policies.AnyPreservationPolicy([newest, best]),
            cleanup_tmp_directories=cleanup,
        )
        folder = pathlib.Path(workdir).absolute() / "checkpoints"
        self._manager = ocp.CheckpointManager(folder, options=options)

    def save(self, step: int, state: Any, loss: float) -> None:
        """Writes `state`; on accelerators in the background. `loss` ranks the best."""
        state = state._replace(key=jax.random.key_data(state.key))
        self._manager.save(
            step, args=ocp.args.StandardSave(state), metrics={"loss": float(loss)}, force=True
        )
        if jax.default_backend() == "cpu":
            # There the writer may still be reading the very memory the next step is donated.
            self._manager.wait_until_finished()

    def latest_step(self) -> int | None:
        """The newest saved step, None before the first."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The saved step with the lowest loss, None before the first."""
        return self._manager.best_step()

    def restore(self, step: int, like: Any) -> Any:
        """The state saved at `step`, laid out and sharded as `like`.

        Raises:
          InputError: what was saved has another structure or other shapes.
        """
        raw = like._replace(key=jax.eval_shape(jax.random.key_data, like.key))
        raw = jax.tree.map(_abstract, raw)
        # A leaf that does not say where it goes is sought on the devices it was saved from.
        raw = raw._replace(key=raw.key.update(sharding=raw.step.sharding))
        try:
            restored = self._manager.restore(step, args=ocp.args.StandardRestore(raw))
        except (ValueError, KeyError, TypeError, OSError) as e:
            first = (str(e).strip() or type(e).__name__).splitlines()[0]
            raise InputError(
                f"the checkpoint of step {step} is damaged, or does not fit this config and data: "
                f"{first}"
            ) from e
        return restored._replace(key=generator.from_data(restored.key))

    def close(self) -> None:
        """Waits for pending writes."""
        self._manager.wait_until_finished()
        self._manager.close()


def _loss(metrics: dict[str, float]) -> float:
    return metrics["loss"]


def _abstract(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None))


def digest(*trees: Any) -> str:
    """SHA-256 over names, shapes, dtypes and values of every array: a checkpoint's identity."""
    total = hashlib.sha256()
    for tree in trees:
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            leaf = np.asarray(leaf)
            total.update(f"{jax.tree_util.keystr(path)}{leaf.shape}{leaf.dtype}".encode())
            total.update(np.ascontiguousarray(leaf).tobytes())
    return total.hexdigest()


def remember_config(workdir: pathlib.Path, config: dict) -> None:
    """Writes config.json; refuses a work directory that holds a run of another config.

    Raises:
      InputError: names the first fields that differ.
    """
    check_config(workdir, config)
    content = json.dumps(config, indent=2) + "\n"
    if processes.is_main():
        write_atomically(pathlib.Path(workdir) / "config.json", content.encode())


def check_config(workdir: pathlib.Path, config: dict) -> None:
    """Refuses a work directory that holds a run of another trajectory.

    Args:
      workdir: of the run.
      config: the one that would resume it.

    Raises:
      InputError: names the first fields that differ and decide the training.
    """
    if not has_checkpoint(workdir):
        return
    known = completed(recall_config(workdir)).to_dict()
    changes = changed(known, config, Effect.TRAJECTORY)
    shown = [f"{key}: was {was!r}, now {now!r}" for key, (was, now) in changes.items()]
    if shown:
        raise InputError(
            f"{workdir} holds a run with another config ({'; '.join(shown[:4])}); "
            "use another --workdir, or give the old values to resume"
        )


def recall_config(workdir: pathlib.Path) -> dict:
    """Reads config.json of a run.

    Raises:
      InputError: there is none, or it is not JSON.
    """
    path = pathlib.Path(workdir) / "config.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{workdir} holds no run: {path} does not exist") from None
    except json.JSONDecodeError as e:
        raise InputError(f"{path} is not valid JSON ({e}); restore it or start a new run") from None


def check_data(workdir: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Remembers a run's training images in data.json; refuses others than it began with.

    Labels are numbered, and epochs counted, by what the training set holds: a set that changed on
    disk would be another run under the same name.

    Args:
      workdir: of the run.
      facts: from `derived.data_facts`.

    Raises:
      InputError: the folder holds a run that was trained on something else.
    """
    known = recall_data(workdir)
    key = "train_fingerprint"
    if has_checkpoint(workdir) and known.get(key) not in (None, facts[key]):
        raise InputError(
            f"{workdir} holds a run on other training images than train_data has now; restore "
            "them, or use another --workdir"
        )
    if known != json.loads(json.dumps(facts)) and processes.is_main():
        content = json.dumps(facts) + "\n"
        write_atomically(pathlib.Path(workdir) / "data.json", content.encode())


def recall_data(workdir: pathlib.Path) -> dict[str, Any]:
    """What `check_data` remembered; {} where it did not."""
    path = pathlib.Path(workdir) / "data.json"
    return json.loads(path.read_text()) if path.exists() else {}


def class_names(workdir: pathlib.Path) -> tuple[str, ...]:
    """Names of the classes as a run that was saved numbers them; () where none was."""
    known = recall_data(workdir) if has_checkpoint(workdir) else {}
    return tuple(known.get("class_names") or ())


def has_checkpoint(workdir: pathlib.Path) -> bool:
    """Whether a run was saved there."""
    folder = pathlib.Path(workdir) / "checkpoints"
    return folder.is_dir() and any(p.name.isdigit() for p in folder.iterdir())
