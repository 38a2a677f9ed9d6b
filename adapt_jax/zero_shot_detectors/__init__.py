"""Zero-shot detectors on CLIP embeddings, one file per paper.

`make("adaneg", groups=5)`, or `make("adaneg?groups=5")`, builds one; `parse` reads a line of such
strings.
"""

from collections.abc import Callable

from adapt_jax.core.registry import Registry
from adapt_jax.zero_shot_detectors import adaneg, csp, mcm, neglabel, tanl
from adapt_jax.zero_shot_detectors.base import StreamDetector, TextBank
from adapt_jax.zero_shot_detectors.mining import mine_negatives

__all__ = ["FACTORIES", "REGISTRY", "StreamDetector", "TextBank", "make", "mine_negatives",
           "names", "parse"]  # fmt: skip

FACTORIES: dict[str, Callable[..., StreamDetector]] = {
    "adaneg": adaneg.make,
    "csp": csp.make,
    "mcm": mcm.make,
    "neglabel": neglabel.make,
    "tanl": tanl.make,
}


REGISTRY: Registry[StreamDetector] = Registry("zero-shot detector", FACTORIES)
make, names, parse = REGISTRY.make, REGISTRY.names, REGISTRY.parse
