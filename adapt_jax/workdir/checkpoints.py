"""Saving and restoring runs with Orbax: the two newest states, the best one, and the run's config.

A checkpoint is a folder `checkpoints/STEP`. Beside the arrays it holds the training loss and the
SHA-256 of every array, themselves hashed. A checkpoint that does not match its hashes is not used.
"""

import contextlib
import hashlib
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp

from adapt_jax.config import completed
from adapt_jax.config.effects import Effect, changed
from adapt_jax.core import files, generator
from adapt_jax.core.errors import InputError, TrainingFailed
from adapt_jax.core.files import checked_fields, read_json, write_atomically
from adapt_jax.runtime import buckets, processes, terminal
from adapt_jax.workdir import integrity, places

KEPT = 2  # newest checkpoints, so that there is another one if the newest is damaged


class Checkpoints:
    """The `checkpoints/` folder of a work directory: the newest states and the best by loss."""

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        cleanup: bool = True,
        warn: Callable[[str], None] = terminal.warn,
    ):
        """Opens the folder.

        Args:
          workdir: folder of the run.
          cleanup: whether to remove files that a killed program left half written. Only the holder
            of the work directory may do this, because another program may be writing now.
          warn: function called when a checkpoint is damaged and another one is used.
        """
        self._place = places.of(workdir)
        self._folder = self._place.path
        self._warn = warn
        self._unfinished: int | None = None
        terminal.quiet_asyncio()
        items = {
            "default": ocp.StandardCheckpointHandler(),
            "metrics": ocp.JsonCheckpointHandler(filename="metrics"),
        }
        self._orbax = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler(**items))
        if cleanup and processes.is_main():
            self._place.remove_unfinished()

    def save(self, step: int, state: Any, loss: float) -> None:
        """Writes `state`; on accelerators in the background. `loss` ranks the best.

        Raises:
          TrainingFailed: this or the previous checkpoint cannot be written; earlier ones are kept.
        """
        self._finish()
        state = state._replace(key=jax.random.key_data(state.key))
        facts = {"loss": float(loss), "arrays": integrity.hashes(state)}
        args = ocp.args.Composite(
            default=ocp.args.StandardSave(state),
            metrics=ocp.args.JsonSave(facts | {"sha256": integrity.seal(facts)}),
        )
        self._unfinished = step
        with self._failing(step):
            self._orbax.save(self._folder / str(step), args=args, force=True)
        if jax.default_backend() == "cpu":
            # There the writer may still be reading the very memory the next step is donated.
            self._finish()

    def steps(self) -> list[int]:
        """The saved steps, ascending; some may be damaged."""
        return self._place.steps()

    def restore(self, which: str, like: Any, *, strict: bool = False) -> Any:
        """The newest state, or the best; if it is damaged, the next one, with a warning.

        Args:
          which: checkpoint to restore, "last" or "best" (lowest training loss).
          like: shapes, dtypes and shardings of the state.
          strict: whether to refuse a damaged checkpoint instead of using another.

        Returns:
          The state, None before the first checkpoint.

        Raises:
          InputError: no checkpoint can be used; says what is wrong with the first.
        """
        wrong: list[str] = []
        for step in self._candidates(which):
            state = problem = None
            try:
                state = self.load(step, like)
            except InputError as e:
                problem = str(e)
            if processes.all_of(state is not None):
                if wrong:
                    self._warn(f"{wrong[0]}; using the checkpoint of step {step} instead")
                return state
            wrong.append(problem or f"another process cannot read the checkpoint of step {step}")
            if strict:
                break
        if not wrong:
            return None
        more = f"; so are the other {len(wrong) - 1}" if len(wrong) > 1 else ""
        raise InputError(f"{wrong[0]}{more}; restore {self._folder}, or train in another folder")

    def load(self, step: int, like: Any) -> Any:
        """The state saved at `step`, laid out and sharded as `like`.

        Raises:
          InputError: it is damaged, or has another structure or other shapes.
        """
        raw = like._replace(key=jax.eval_shape(jax.random.key_data, like.key))
        raw = jax.tree.map(_abstract, raw)
        # A leaf that does not say where it goes is sought on the devices it was saved from.
        raw = raw._replace(key=raw.key.update(sharding=raw.step.sharding))
        where, facts = self._folder / str(step), self._place.facts(step)
        try:
            args = ocp.args.Composite(default=ocp.args.StandardRestore(raw))
            restored = self._orbax.restore(where, args=args).default
        except Exception as e:  # Orbax raises whatever a damaged file makes it stumble over
            processes.leave_if_lost(e)
            first = (str(e).strip() or type(e).__name__).splitlines()[0]
            raise InputError(
                f"the checkpoint of step {step} is damaged, or does not fit this config and data: "
                f"{first}"
            ) from e
        if "arrays" in facts:
            integrity.check(restored, facts["arrays"], step)
        else:
            self._warn(
                f"the checkpoint of step {step} was saved by a version without hashes, so that "
                "damage to it cannot be noticed"
            )
        return restored._replace(key=generator.from_data(restored.key))

    def close(self) -> None:
        """Waits for pending writes."""
        try:
            self._finish()
        finally:
            self._orbax.close()

    def _candidates(self, which: str) -> Iterator[int]:
        """The steps to try, in order, the same on every process."""
        order = self.steps()[::-1]
        if which == "best":
            order = sorted(order, key=self._loss)
        for own in [*order, -1]:
            if (step := processes.first(own)) < 0:
                return
            yield step

    def _loss(self, step: int) -> float:
        """That of a checkpoint; infinity, after a word, where it cannot be read."""
        try:
            return self._place.facts(step)["loss"]
        except InputError as e:
            self._warn(f"{e}; its loss is not known")
            return math.inf

    def _finish(self) -> None:
        """Waits for the save in progress, then removes the checkpoints it makes superfluous."""
        step, self._unfinished = self._unfinished, None
        if step is None:
            return
        with self._failing(step):
            self._orbax.wait_until_finished()
        if not processes.is_main():
            return
        self._place.settle(step)
        # A later one can only be a damaged one, in whose place an earlier one was resumed.
        order = [s for s in self.steps() if s <= step]
        kept = {*order[-KEPT:], min(order, key=self._loss)}
        for superfluous in set(self.steps()) - kept:
            self._place.remove(superfluous)

    @contextlib.contextmanager
    def _failing(self, step: int) -> Iterator[None]:
        """Context in which an error of the disk ends the training with a one-line message."""
        try:
            yield
        except (OSError, ValueError, RuntimeError) as e:  # TensorStore has errors of its own
            processes.leave_if_lost(e)
            self._unfinished = None
            if processes.is_main():
                self._place.remove_unfinished()
            why = f"{self._folder} ({files.disk_reason(e)}); make room and run it again"
            error = TrainingFailed(f"the checkpoint of step {step} cannot be written to {why}")
            processes.leave_alone(error, 1)
            raise error from e


def steps_in(workdir: pathlib.Path) -> list[int]:
    """The steps a run has checkpoints of, ascending; some may be damaged."""
    return places.of(workdir).steps()


def has_checkpoint(workdir: pathlib.Path) -> bool:
    """Whether a run was saved there."""
    return bool(steps_in(workdir))


def _abstract(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None))


def tree_sha256(*trees: Any) -> str:
    """SHA-256 over names, shapes, dtypes and values of all arrays; it identifies a checkpoint."""
    total = hashlib.sha256()
    for tree in trees:
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            integrity.add(total, leaf, jax.tree_util.keystr(path))
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
      workdir: folder of the run.
      config: config that would resume the run.

    Raises:
      InputError: names the first fields that differ and decide the training.
    """
    if not has_checkpoint(workdir):
        return
    recorded = completed(recall_config(workdir)).to_dict()
    changes = changed(recorded, config, Effect.TRAJECTORY)
    shown = [f"{key}: was {was!r}, now {now!r}" for key, (was, now) in changes.items()]
    if shown:
        raise InputError(
            f"{workdir} holds a run with another config ({'; '.join(shown[:4])}); "
            "use another --workdir, or give the old values to resume"
        )


def recall_config(workdir: pathlib.Path) -> dict:
    """Reads config.json of a run.

    Raises:
      InputError: there is none, or it is damaged.
    """
    path = pathlib.Path(workdir) / "config.json"
    if not path.exists():
        home = buckets.home(path.parent)
        raise InputError(f"{home} holds no run: {home / path.name} does not exist")
    recorded = read_json(path, {"method": dict, "model": dict}, "restore it or start a new run")
    checked_fields(recorded["method"], {"name": str}, f"{path}, method", "restore it")
    return recorded


def check_data(workdir: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Remembers a run's training images in data.json; refuses others than it began with.

    Labels are numbered, and epochs counted, by what the training set holds: a set that changed on
    disk would be another run under the same name.

    Args:
      workdir: folder of the run.
      facts: facts about the training images, from `derived.data_facts`.

    Raises:
      InputError: the folder holds a run that was trained on something else.
    """
    recorded = recall_data(workdir)
    key = "train_fingerprint"
    if has_checkpoint(workdir) and recorded.get(key) not in (None, facts[key]):
        raise InputError(
            f"{workdir} holds a run on other training images than train_data has now; restore "
            "them, or use another --workdir"
        )
    if recorded != json.loads(json.dumps(facts)) and processes.is_main():
        content = json.dumps(facts) + "\n"
        write_atomically(pathlib.Path(workdir) / "data.json", content.encode())


def recall_data(workdir: pathlib.Path) -> dict[str, Any]:
    """The facts that `check_data` recorded; {} if there are none."""
    path = pathlib.Path(workdir) / "data.json"
    remedy = "restore it, or evaluate the run again"
    return read_json(path, {}, remedy) if path.exists() else {}


def class_names(workdir: pathlib.Path) -> tuple[str, ...]:
    """Names of the classes as a run that was saved numbers them; () where none was."""
    recorded = recall_data(workdir) if has_checkpoint(workdir) else {}
    return tuple(recorded.get("class_names") or ())
