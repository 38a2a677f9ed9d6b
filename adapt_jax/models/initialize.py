"""Initial values of a network's parameters, from one random draw.

Tracing an initialiser per layer takes longer than compiling the training step. Here the shapes come
from abstract evaluation, and all kernels are cut from one flat draw.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from adapt_jax.models.base import Variables


def initialize(key: jax.Array, shapes: Variables, param_dtype=jnp.float32) -> Variables:
    """Values for a tree of shapes `{"params": ..., "batch_stats": ...}`, as plain dicts.

    Convolutions: normal, std sqrt(2 / (k * k * out)) (fan-out, not truncated). Linear kernels and
    biases: uniform in +-1 / sqrt(fan-in). Batch normalisation: scale 1, bias 0, mean 0, variance 1.
    Values are drawn in float32 whatever `param_dtype` is, so that one key gives one network.
    """
    leaves = flatten_dict(shapes)
    normals, uniforms, fills = [], [], []
    for path, leaf in sorted(leaves.items()):  # by name: modules may be declared in any order
        kernel = leaves.get((*path[:-1], "kernel"), leaf).shape
        if len(leaf.shape) == 4:
            normals.append((path, kernel, math.sqrt(2 / (kernel[0] * kernel[1] * kernel[3]))))
        elif len(kernel) == 2:  # a linear layer's kernel or bias
            uniforms.append((path, leaf.shape, 1 / math.sqrt(kernel[0])))
        else:
            fills.append((path, leaf.shape, float(path[-1] in ("scale", "var"))))
    drawn = map(tuple, (normals, uniforms, fills))
    values = _draw(key, *drawn, jnp.dtype(param_dtype))
    return unflatten_dict({path: values[path] for path in leaves})


@partial(jax.jit, static_argnames=("normals", "uniforms", "fills", "dtype"))
def _draw(key, normals, uniforms, fills, dtype):
    """One draw of each kind, cut by (path, shape, scale); `fills` are (path, shape, value)."""
    for_normal, for_uniform = jax.random.split(key)
    normal = jax.random.normal(for_normal, (_total(normals),), jnp.float32)
    uniform = jax.random.uniform(for_uniform, (_total(uniforms),), jnp.float32, -1.0, 1.0)
    values = {path: jnp.full(shape, value, dtype) for path, shape, value in fills}
    for flat, entries in ((normal, normals), (uniform, uniforms)):
        start = 0
        for path, shape, scale in entries:
            size = math.prod(shape)
            piece = flat[start : start + size].reshape(shape)
            values[path] = (scale * piece).astype(dtype)
            start += size
    return values


def _total(entries):
    return sum(math.prod(shape) for _, shape, _ in entries)
