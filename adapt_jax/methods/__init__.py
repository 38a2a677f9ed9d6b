"""Training objectives, one file per paper. `make("palm", cache_size=6)` builds one."""

from collections.abc import Callable

from adapt_jax.core.registry import Registry
from adapt_jax.methods import adapt, ccl, cider, cross_entropy, palm, reweightood, supcon
from adapt_jax.methods.base import Method

FACTORIES: dict[str, Callable[..., Method]] = {
    "adapt": adapt.make,
    "ccl": ccl.make,
    "cider": cider.make,
    "cross_entropy": cross_entropy.make,
    "palm": palm.make,
    "reweightood": reweightood.make,
    "supcon": supcon.make,
}

REGISTRY: Registry[Method] = Registry("method", FACTORIES)
make, names = REGISTRY.make, REGISTRY.names
defaults, parameters = REGISTRY.defaults, REGISTRY.parameters

# What a run takes from its data and network, not from its config.
FROM_DATA = ("num_classes", "feature_dim", "num_images")


def optional(name: str) -> dict[str, type]:
    """The hyper-parameters of a method that are None unless given, with the type they take."""
    types = {}
    for key, parameter in parameters(name).items():
        choices = getattr(parameter.annotation, "__args__", ())
        if type(None) in choices and key not in FROM_DATA:
            types[key] = next(choice for choice in choices if choice is not type(None))
    return types
