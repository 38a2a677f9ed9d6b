"""A network's stages by name, so that some can be trained while the rest stays as it is."""

import difflib
import re
from collections.abc import Sequence

from flax.traverse_util import flatten_dict, unflatten_dict

from adapt_jax.core.errors import InputError

STEM = "stem"  # conv1 and bn1
ENCODER = (STEM, "layer1", "layer2", "layer3", "layer4")


def of(path: tuple[str, ...]) -> str:
    """The stage of a variable, given its path below "params" or "batch_stats".

    ("encoder", "layer4_1", "bn2", "scale") -> "layer4"; ("head", "hidden", "bias") -> "head"
    """
    if path[0] != "encoder":
        return path[0]
    block = re.match(r"layer\d+", path[1])
    return block[0] if block else STEM


def frozen(trainable: str | Sequence[str], layers: int, head: str) -> frozenset[str]:
    """The stages that are left as they are when only those named in `trainable` train.

    Args:
      trainable: stages that train, as "layer4,head" or ("layer4", "head"); an empty value means
        that everything trains.
      layers: number of stages between the stem and the head.
      head: name of the stage after the encoder, "head" (projection) or "fc" (classifier).

    Raises:
      InputError: an unknown stage; the message lists the known ones.
    """
    parts = trainable.split(",") if isinstance(trainable, str) else trainable
    wanted = {part.strip() for part in parts} - {""}
    stages = (*ENCODER[: layers + 1], head)
    for name in sorted(wanted - set(stages)):
        close = difflib.get_close_matches(name, stages, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise InputError(
            f"trainable names {name!r}{hint}, but this network has the stages {', '.join(stages)}"
        )
    return frozenset(stages) - wanted if wanted else frozenset()


def select(params: dict, stages: frozenset[str]) -> dict:
    """A tree of bool like `params`: whether a parameter belongs to one of `stages`."""
    return unflatten_dict({path: of(path) in stages for path in flatten_dict(params)})
