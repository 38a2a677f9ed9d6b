"""Networks, as pure functions. `make(name, **choices)` builds one."""

from adapt_jax.core import registry
from adapt_jax.models.base import Model, ModelOutputs
from adapt_jax.models.factory import SMALLEST_IMAGE, resnet
from adapt_jax.models.resnet import BasicBlock, Bottleneck
from adapt_jax.models.torch_names import Pretrained, from_torch, pretrained
from adapt_jax.models.weight_files import read as read_weights

FACTORIES = {
    "resnet18": resnet("resnet18", BasicBlock, (2, 2, 2, 2)),
    "resnet34": resnet("resnet34", BasicBlock, (3, 4, 6, 3)),
    "resnet50": resnet("resnet50", Bottleneck, (3, 4, 6, 3)),
    "resnet101": resnet("resnet101", Bottleneck, (3, 4, 23, 3)),
}

__all__ = [
    "FACTORIES",
    "SMALLEST_IMAGE",
    "Model",
    "ModelOutputs",
    "Pretrained",
    "from_torch",
    "make",
    "names",
    "pretrained",
    "read_weights",
]


def names() -> tuple[str, ...]:
    """Every network `make` knows."""
    return tuple(sorted(FACTORIES))


def make(name: str, **choices) -> Model:
    """Builds a network; `factory.py` lists the choices and their defaults.

    Raises:
      ValueError: unknown name (the known ones are listed) or a value out of its range.
      TypeError: unknown choice (named).
    """
    return registry.build("model", FACTORIES, name, choices)
