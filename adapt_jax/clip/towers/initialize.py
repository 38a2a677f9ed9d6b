"""Parameters of a CLIP to train from scratch, as openai/CLIP `initialize_parameters` draws them."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.clip.architecture import Architecture
from adapt_jax.clip.model import Params, shapes


@partial(jax.jit, static_argnums=0)
def init(architecture: Architecture, key: jax.Array) -> Params:
    """Random parameters of a model.

    The convolutions of a ResNet are He normal, unlike the original's: its batch normalisation uses
    stored statistics, 0 and 1 here, and so does not correct their scale.
    """
    leaves, tree = jax.tree.flatten_with_path(shapes(architecture))
    # One draw for all: a hundred small generators would take longer to compile than a model.
    ends = np.cumsum([leaf.size for _, leaf in leaves])
    draws = jnp.split(jax.random.normal(key, (int(ends[-1]),), jnp.float32), ends[:-1])
    values = []
    for (path, leaf), draw in zip(leaves, draws):
        names = tuple(part.key for part in path)
        constant = _constant(names)
        if constant is None:
            values.append(draw.reshape(leaf.shape) * _std(names, leaf.shape, architecture))
        else:
            values.append(jnp.full(leaf.shape, constant, leaf.dtype))
    return jax.tree.unflatten(tree, values)


def _constant(names):
    match names:
        case ("logit_scale",):
            return math.log(1 / 0.07)
        case ("logit_bias",):
            return -10.0  # SigLIP's: nearly all pairs are no match
        case (*_, "bias" | "mean"):
            return 0.0
        case ("visual", layer, "bn3", "scale") if layer.startswith("layer"):
            return 0.0  # a residual branch starts closed
        case (*_, "scale" | "var"):
            return 1.0
    return None


def _std(names, shape, architecture):
    tower = architecture.text if names[0] == "text" else architecture.vision
    match names:
        case ("text", "tokens"):
            return 0.02
        case ("text", "positions"):
            return 0.01
        case (_, "blocks", "attn" | "mlp", "out", "kernel"):
            return (2 * tower.layers * tower.width) ** -0.5
        case (_, "blocks", "mlp", "fc", "kernel"):
            return (2 * tower.width) ** -0.5
        case ("visual", "patches", "kernel"):
            return math.prod(shape[:3]) ** -0.5
        case (*_, "kernel") if len(shape) == 4:
            return (2 / math.prod(shape[:3])) ** 0.5
        case (*_, "positions" | "class_embedding"):
            return shape[-1] ** -0.5
    return shape[-2] ** -0.5  # attention's inputs, projections: of what they read
