"""Post-hoc detectors, one file per family.

`make("knn", k=50)`, or `make("knn?k=50")`, builds one; `parse` reads a line of such strings."""

from collections.abc import Callable

from adapt_jax.core.registry import Registry
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
    "REGISTRY", "make", "names", "parse",
]  # fmt: skip

FACTORIES: dict[str, Callable[..., Detector | ImageDetector]] = {
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


REGISTRY: Registry[Detector | ImageDetector] = Registry("detector", FACTORIES)
make, names, parse = REGISTRY.make, REGISTRY.names, REGISTRY.parse
