"""Post-hoc detectors, one file per family. `make(name, **hyper_parameters)` builds one."""

from adapt_jax.core import registry
from adapt_jax.detectors import (
    adascale,
    fdbd,
    gradnorm,
    klm,
    knn,
    logits,
    mahalanobis,
    nci,
    nearest_mean,
    nnguide,
    odin,
    palm_ssd,
    relation,
    rmds,
    shaping,
    she,
    ssd,
    temperature_scaling,
    vim,
)
from adapt_jax.detectors.base import Detector, Head, ImageDetector, Network, Outputs

__all__ = [
    "FACTORIES", "Detector", "Head", "ImageDetector", "Network", "Outputs",
    "annotations", "make", "names",
]  # fmt: skip

FACTORIES = {
    "adascale": adascale.make,
    "ash": shaping.ash,
    "dice": shaping.dice,
    "energy": logits.energy,
    "fdbd": fdbd.make,
    "gen": logits.gen,
    "gradnorm": gradnorm.make,
    "iodin": odin.make_iodin,
    "klm": klm.make,
    "knn": knn.make,
    "mahalanobis": mahalanobis.make,
    "mls": logits.mls,
    "msp": logits.msp,
    "nci": nci.make,
    "nearest_mean": nearest_mean.make,
    "nnguide": nnguide.make,
    "odin": odin.make,
    "palm_ssd": palm_ssd.make,
    "react": shaping.react,
    "relation": relation.make,
    "residual": vim.make_residual,
    "rmds": rmds.make,
    "scale": shaping.scale,
    "she": she.make,
    "ssd": ssd.make,
    "temperature_scaling": temperature_scaling.make,
    "vim": vim.make,
    "vra": shaping.vra,
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
