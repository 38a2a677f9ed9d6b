"""The published protocols: which sets they compare, from where, and how many images they have.

| file | what |
| --- | --- |
| base.py | `Suite`, `OodSet`: what a protocol is |
| trained.py | OpenOOD v1.5, the classic 32x32 sets, TensorFlow Datasets |
| zero_shot.py | the sets that zero-shot detectors with CLIP are evaluated on |

The official programs ignore EXIF orientation, so `suites.resolve` gives every source of a suite the
option `exif=ignore`.
"""

from adapt_jax.data.protocols import trained, zero_shot
from adapt_jax.data.protocols.base import SPLITS, Expected, OodSet, Suite

SUITES = {suite.name: suite for suite in (*trained.SUITES, *zero_shot.SUITES)}

__all__ = ["SPLITS", "SUITES", "Expected", "OodSet", "Suite"]
