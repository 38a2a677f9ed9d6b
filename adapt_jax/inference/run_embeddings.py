"""The embeddings of every image set of an evaluated run, for the embedding figure."""

import os
import pathlib

import numpy as np

from adapt_jax.config import completed
from adapt_jax.core.errors import InputError
from adapt_jax.data.set_names import ID
from adapt_jax.experiment import record
from adapt_jax.inference import feature_cache
from adapt_jax.inference.restore import restore
from adapt_jax.results import result_files
from adapt_jax.results.evaluation import Embeddings, pictured
from adapt_jax.results.tables import MEAN
from adapt_jax.workdir import checkpoints


def load(workdir: str | os.PathLike) -> Embeddings:
    """Reads what the last evaluation kept of its sets, and the prototypes of its checkpoint.

    Args:
      workdir: folder of an evaluated training run.

    Returns:
      The embeddings for `report.figures.embeddings`.

    Raises:
      InputError: it was not evaluated, or its files belong to another checkpoint.
    """
    path, header = pathlib.Path(workdir), result_files.read(workdir)
    cached_outputs = feature_cache.recall(path / "features", header["checkpoint_sha256"])
    if ID not in cached_outputs:
        raise InputError(f"{path} has no outputs of the last evaluation; evaluate the run again")
    groups = {r["ood"]: r["group"] for r in header["rows"] if r["ood"] != MEAN}
    groups = {name: group for name, group in groups.items() if name in cached_outputs}
    arrays = {name: cached_outputs[name][1] for name in (ID, *groups)}
    facts = checkpoints.recall_data(path)
    return Embeddings(
        vectors=pictured(arrays),
        groups=groups,
        labels=arrays[ID].get("labels"),
        class_names=facts["class_names"] or (),
        prototypes=_prototypes(path, facts) if "embeddings" in arrays[ID] else None,
    )


def _prototypes(path: pathlib.Path, facts) -> np.ndarray | None:
    """(K, C, D) of the checkpoint the run evaluates, None if its method has none."""
    config = completed(checkpoints.recall_config(path))
    state = restore(record.recall(config, facts), path)
    prototypes = getattr(state.method_state, "prototypes", None)
    return None if prototypes is None else np.asarray(prototypes)
