"""Zero-shot detectors on CLIP embeddings. `make(name, **hyper_parameters)` builds one."""

from adapt_jax.core import registry
from adapt_jax.zero_shot_detectors import adaneg, csp, mcm, neglabel, tanl
from adapt_jax.zero_shot_detectors.base import StreamDetector, TextBank
from adapt_jax.zero_shot_detectors.mining import mine_negatives

__all__ = ["FACTORIES", "StreamDetector", "TextBank", "annotations", "make", "mine_negatives",
           "names"]  # fmt: skip

FACTORIES = {
    "adaneg": adaneg.make,
    "csp": csp.make,
    "mcm": mcm.make,
    "neglabel": neglabel.make,
    "tanl": tanl.make,
}


def names() -> tuple[str, ...]:
    """Every zero-shot detector `make` knows."""
    return tuple(sorted(FACTORIES))


def annotations(name: str) -> dict:
    """The annotated type of every hyper-parameter of a zero-shot detector."""
    return registry.annotations("zero-shot detector", FACTORIES, name)


def make(name: str, **hyper_parameters) -> StreamDetector:
    """Builds a zero-shot detector; see the module of that name for its hyper-parameters.

    Raises:
      ValueError: unknown name (the known ones are listed) or a value out of its range.
      TypeError: unknown or missing hyper-parameter (named).
    """
    return registry.build("zero-shot detector", FACTORIES, name, hyper_parameters)
