"""Post-hoc detectors, one file per family. `make(name, **hyper_parameters)` builds one."""

from adapt_jax.core import registry
from adapt_jax.detectors import knn, mahalanobis, nearest_mean, palm_ssd, ssd
from adapt_jax.detectors.base import Detector, Head, ImageDetector, Network, Outputs

__all__ = [
    "FACTORIES", "Detector", "Head", "ImageDetector", "Network", "Outputs",
    "annotations", "make", "names",
]  # fmt: skip

FACTORIES = {
    "knn": knn.make,
    "mahalanobis": mahalanobis.make,
    "nearest_mean": nearest_mean.make,
    "palm_ssd": palm_ssd.make,
    "ssd": ssd.make,
}


def names() -> tuple[str, ...]:
    """Every detector `make` knows."""
    return tuple(sorted(FACTORIES))


def annotations(name: str) -> dict:
    """The annotated type of every hyper-parameter of a detector."""
    return registry.annotations("detector", FACTORIES, name)


def make(name: str, **hyper_parameters) -> Detector | ImageDetector:
    """Builds a detector; see the module of that name for its hyper-parameters.

    Raises:
      ValueError: unknown name (the known ones are listed) or a value out of its range.
      TypeError: unknown or missing hyper-parameter (named).
    """
    return registry.build("detector", FACTORIES, name, hyper_parameters)
