"""Training objectives, one file per paper. `make(name, **hyper_parameters)` builds one."""

from adapt_jax.core import registry
from adapt_jax.methods import adapt, ccl, cider, cross_entropy, palm, reweightood, supcon
from adapt_jax.methods.base import Method

FACTORIES = {
    "adapt": adapt.make,
    "ccl": ccl.make,
    "cider": cider.make,
    "cross_entropy": cross_entropy.make,
    "palm": palm.make,
    "reweightood": reweightood.make,
    "supcon": supcon.make,
}


# What a run takes from its data and network, not from its config.
FROM_DATA = ("num_classes", "feature_dim", "num_images")


def names() -> tuple[str, ...]:
    """Every method `make` knows."""
    return tuple(sorted(FACTORIES))


def defaults(name: str) -> dict:
    """The hyper-parameters of a method that have a default, with it."""
    return registry.defaults("method", FACTORIES, name)


def parameters(name: str) -> tuple[str, ...]:
    """The names of a method's hyper-parameters, those without a default included."""
    return registry.names("method", FACTORIES, name)


def optional(name: str) -> dict[str, type]:
    """The hyper-parameters of a method that are None unless given, with the type they take."""
    found = {}
    for key, kind in registry.annotations("method", FACTORIES, name).items():
        choices = getattr(kind, "__args__", ())
        if type(None) in choices and key not in FROM_DATA:
            found[key] = next(choice for choice in choices if choice is not type(None))
    return found


def make(name: str, **hyper_parameters) -> Method:
    """Builds a method; see the module of that name for its hyper-parameters and metrics.

    Raises:
      ValueError: unknown name (the known ones are listed) or a value out of its range.
      TypeError: unknown or missing hyper-parameter (named).
    """
    return registry.build("method", FACTORIES, name, hyper_parameters)
