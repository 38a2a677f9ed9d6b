"""Out-of-distribution detection in JAX: ADAPT and its family, from a laptop to a TPU pod.

Everything named here is imported when it is first used, so that `import adapt_jax` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from adapt_jax.core.version import __version__ as __version__

if TYPE_CHECKING:  # what `_DEFINED_IN` and `_SUBMODULES` say, for editors and type checkers
    from adapt_jax import clip as clip
    from adapt_jax import config as config
    from adapt_jax import data as data
    from adapt_jax import detectors as detectors
    from adapt_jax import methods as methods
    from adapt_jax import metrics as metrics
    from adapt_jax import models as models
    from adapt_jax import zero_shot_detectors as zero_shot_detectors
    from adapt_jax.compare import compare as compare
    from adapt_jax.core.errors import InputError as InputError
    from adapt_jax.detectors.base import Head as Head
    from adapt_jax.detectors.base import Outputs as Outputs
    from adapt_jax.evaluate.job import evaluate_run as evaluate  # noqa: F401
    from adapt_jax.inference.estimator import OODDetector as OODDetector
    from adapt_jax.inference.pipeline import load as load
    from adapt_jax.metrics import ood_metrics as ood_metrics
    from adapt_jax.models.wrapped import wrap as wrap
    from adapt_jax.runtime.config_files import load_config as load_config
    from adapt_jax.train import train as train

_DEFINED_IN = {
    "Head": "detectors.base",
    "InputError": "core.errors",
    "OODDetector": "inference.estimator",
    "Outputs": "detectors.base",
    "load": "inference.pipeline",
    "load_config": "runtime.config_files",
    "ood_metrics": "metrics",
    "wrap": "models.wrapped",
}
# The jobs among these modules can be called, see `core.callable_module`.
_SUBMODULES = (
    "clip", "compare", "config", "data", "detectors", "evaluate", "methods", "metrics", "models",
    "train", "zero_shot_detectors",
)  # fmt: skip

__all__ = sorted([*_DEFINED_IN, *_SUBMODULES])


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"adapt_jax.{name}")
    if name in _DEFINED_IN:
        module = importlib.import_module(f"adapt_jax.{_DEFINED_IN[name]}")
        return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module 'adapt_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
