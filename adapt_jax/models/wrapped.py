"""Networks made elsewhere, which `wrap` makes usable by every job and detector.

A config names one as "package.module:factory", with arguments behind "?" as in
"my.networks:make?weights=best.npz": a function that returns what `wrap` returned.
"""

import functools
import hashlib
import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.core.arrays import matmul
from adapt_jax.core.errors import InputError
from adapt_jax.core.registry import Registry
from adapt_jax.models.adaptors import Adapted, adapt
from adapt_jax.models.base import Model, ModelOutputs, Variables

_GIVEN = "given"
_given: dict[str, "Wrapped"] = {}  # objects that a caller handed over, by the name in configs


class Wrapped(NamedTuple):
    """A network that was made elsewhere, and the images it takes.

    model: its pure functions. variables: its parameters and statistics, all under "params"; and a
    digest of what it computes from them, so that no cached outputs of other code are taken.
    image_size: S; it sees images (N, S, S, 3) on the scale 0..1, less `mean`, divided by `std`.
    """

    model: Model
    variables: Variables
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def wrap(
    network: Any,
    params: Any = None,
    *,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    head: str | Callable[[Any], tuple[jax.Array, jax.Array]] | None = None,
    name: str = "",
    **call: Any,
) -> Wrapped:
    """Makes a trained network usable by every job and detector.

    Args:
      network: a Flax NNX module, a Flax Linen module, a Keras model on JAX, or
        function(params, images (N, S, S, 3) float32) -> features (N, D), pure and row by row.
      params: parameters: for a function, any tree of arrays; for a Linen module, its variables with
        "params", "batch_stats" and so on. NNX and Keras models contain their own.
      image_size: height and width S of the square images that the network takes.
      mean, std: channel means and deviations that images are normalised with, three numbers each on
        the scale 0..1.
      head: the linear layer that makes the logits, as "fc" or "backbone/fc"; its inputs are the
        features. For a function, its place in params. Or function(params) -> (kernel (D, C),
        bias (C,)). None for a network that ends in features: detectors that need logits, a
        classifier or gradients are then left out.
      name: name in tables; by default that of the network's class or function.
      **call: further arguments of the network's call in evaluation, such as `train=False`. NNX
        modules are put into evaluation mode, Keras models are called with training=False.

    Raises:
      InputError: the network cannot be recognised or does not run on such images, or its outputs
        are not features (N, D) that fit the head.
    """
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise InputError(f"mean and std are three numbers each, std positive; got {mean}, {std}")
    adapted = adapt(network, params, head, call)
    name = name or getattr(network, "__name__", type(network).__name__)
    program, features, classes = _traced(adapted, image_size)
    params = jax.tree.map(jnp.asarray, adapted.params)
    variables = {"params": params, "batch_stats": {"program": program}}
    model = _model(adapted, variables, name, features, classes)
    return Wrapped(model, variables, image_size, tuple(map(float, mean)), tuple(map(float, std)))


def _model(adapted: Adapted, variables, name: str, width: int, classes: int | None) -> Model:
    def classifier(variables):
        return adapted.head and adapted.head(variables["params"])

    def apply(variables, images, train):
        if train:
            raise InputError(f"{name} was made elsewhere and is not trained here")
        features = adapted.features(variables["params"], images)
        wide = features.astype(jnp.promote_types(features.dtype, jnp.float32))
        logits, head = None, classifier(variables)
        if head is not None:
            logits = matmul(wide, head[0].astype(wide.dtype)) + head[1].astype(wide.dtype)[None]
        return ModelOutputs(wide, None, logits), variables["batch_stats"]

    def flops_per_image(height, width):
        images = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
        lowered = jax.jit(adapted.features).lower(variables["params"], images)
        return int(lowered.cost_analysis()["flops"])

    return Model(
        name=name,
        init=lambda key, image_shape=None, param_dtype=None: variables,
        apply=apply,
        feature_dim=width,
        embedding_dim=None,
        num_classes=classes,
        flops_per_image=flops_per_image,
        classifier=classifier,
    )


def _traced(adapted: Adapted, size: int) -> tuple[np.ndarray, int, int | None]:
    """A digest of the computation, and the numbers of features and classes; nothing is computed."""

    def outputs(params, images):
        return adapted.features(params, images), adapted.head and adapted.head(params)

    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    try:
        program, (shapes, head) = jax.make_jaxpr(outputs, return_shape=True)(adapted.params, images)
    except InputError:
        raise
    except Exception as e:  # of the user's code, which may raise anything
        first = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise InputError(
            f"the network does not run on images (2, {size}, {size}, 3): {first}"
        ) from e
    shape = getattr(shapes, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != 2:
        raise InputError(
            f"the network makes {shape or type(shapes).__name__} of 2 images, not features (2, D); "
            "pool them, and return nothing else"
        )
    if head is None:
        return _digest(program), shape[1], None
    kernel, bias = (x.shape for x in head)
    if len(kernel) != 2 or kernel[0] != shape[1] or bias != kernel[1:]:
        raise InputError(
            f"the head has a kernel {kernel} and a bias {bias}, which do not fit features of "
            f"{shape[1]} dimensions: (D, C) and (C,) are needed"
        )
    return _digest(program), shape[1], kernel[1]


def _digest(program: Any) -> np.ndarray:
    """SHA-256 (32,) uint8 of a traced program, the same in every process."""
    text = re.sub(r"0x[0-9a-f]+", "", str(program))  # addresses of functions
    digest = hashlib.sha256(text.encode())
    for constant in program.consts:
        if not jax.dtypes.issubdtype(constant.dtype, jax.dtypes.prng_key):
            digest.update(np.ascontiguousarray(constant).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def is_own(name: str) -> bool:
    """Whether a config's model.name is a network made elsewhere."""
    return ":" in name


def named(network: "str | Wrapped") -> str:
    """What a config calls a network that was given as "package.module:factory", or as an object.

    Only this process knows an object by its name; another one has to be given it again.
    """
    if isinstance(network, str):
        return network
    name = f"{_GIVEN}:{network.model.name}"
    _given[name] = network
    return name


def find(name: str) -> Wrapped:
    """The network that a config calls `name`.

    Raises:
      InputError: it cannot be imported or made, or is not what `wrap` returns.
    """
    if name in _given:
        return _given[name]
    if name.startswith(f"{_GIVEN}:"):
        raise InputError(
            f"the network {name.partition(':')[2]!r} was given as an object; give it again as "
            "model=..., or name a function that makes it as package.module:factory"
        )
    return _imported(name)


@functools.cache  # weights are read once, however many parts ask
def _imported(spec: str) -> Wrapped:
    name = spec.partition("?")[0]
    module, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as e:
        raise InputError(
            f"model {name} cannot be imported ({e}); write it as package.module:factory, and run "
            "where that module can be found"
        ) from e
    try:
        made = Registry("model", {name: factory}).make(spec)
    except (TypeError, ValueError, OSError) as e:
        raise InputError(f"model {spec}: {e}") from e
    if not isinstance(made, Wrapped):
        raise InputError(
            f"model {name} returns a {type(made).__name__}; let it return adapt_jax.wrap(...)"
        )
    return made
