"""Networks, as pure functions. `make("resnet18", width=32)` builds one; see `factory.py`."""

from adapt_jax.core.registry import Registry
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
    "REGISTRY",
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


REGISTRY: Registry[Model] = Registry("model", FACTORIES)
make, names = REGISTRY.make, REGISTRY.names
