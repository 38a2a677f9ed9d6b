"""The pre-norm transformer both towers share, as functions on plain dicts of arrays.

Layers compute in the dtype of their input; parameters stay float32 and are read in that dtype.
The parameters of all blocks of a tower are stacked on a leading axis and scanned over, so that
a model compiles in the time of one block.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from adapt_jax.core.arrays import working_dtype


def quick_gelu(x: jax.Array) -> jax.Array:
    """x sigmoid(1.702 x), which OpenAI's models were trained with."""
    return x * jax.nn.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "quick_gelu": quick_gelu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
    "silu": jax.nn.silu,
}


def array(*shape: int) -> jax.ShapeDtypeStruct:
    """Stands for a float32 parameter of this shape."""
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def norm_shapes(width: int) -> dict:
    """Parameters of `layer_norm`."""
    return {"scale": array(width), "bias": array(width)}


def dense_shapes(inputs: int, outputs: int) -> dict:
    """Parameters of `dense`."""
    return {"kernel": array(inputs, outputs), "bias": array(outputs)}


def blocks_shapes(tower, layers: int | None = None) -> dict:
    """Parameters of `run_blocks`: those of one block, with a leading axis of `layers`.

    layers: number of blocks, by default `tower.layers`.
    """
    width, inner = tower.width, tower.mlp_width
    block = {
        "ln_1": norm_shapes(width),
        "attn": {"qkv": dense_shapes(width, 3 * width), "out": dense_shapes(width, width)},
        "ln_2": norm_shapes(width),
        "mlp": {"fc": dense_shapes(width, inner), "out": dense_shapes(inner, width)},
    }
    layers = tower.layers if layers is None else layers
    return jax.tree.map(lambda a: array(layers, *a.shape), block)


def batch_norm_shapes(width: int) -> dict:
    """Parameters of `batch_norm`."""
    return {name: array(width) for name in ("scale", "bias", "mean", "var")}


def dense(x: jax.Array, params: dict) -> jax.Array:
    """(..., I) -> (..., O)."""
    return x @ params["kernel"].astype(x.dtype) + along_last(params["bias"].astype(x.dtype), x)


def layer_norm(x: jax.Array, params: dict, epsilon: float) -> jax.Array:
    """Over the last axis, in at least float32 inside."""
    wide = x.astype(working_dtype(x.dtype))
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    gain = jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + epsilon)
    scale, bias = (along_last(params[name].astype(wide.dtype), x) for name in ("scale", "bias"))
    return (centred * gain * scale + bias).astype(x.dtype)


def batch_norm(x: jax.Array, params: dict, epsilon: float = 1e-5) -> jax.Array:
    """Over the last axis by stored statistics, which get no gradient; inside at least float32."""
    p = {k: along_last(v.astype(working_dtype(x.dtype)), x) for k, v in params.items()}
    mean, var = (jax.lax.stop_gradient(p[k]) for k in ("mean", "var"))
    wide = x.astype(mean.dtype)
    return ((wide - mean) * (p["scale"] * jax.lax.rsqrt(var + epsilon)) + p["bias"]).astype(x.dtype)


def run_blocks(x: jax.Array, params: dict, tower, *, causal: bool) -> jax.Array:
    """All blocks of a tower on x (B, L, W); causal: token i sees tokens 0..i only."""
    activation = ACTIVATIONS[tower.activation]
    mask = jnp.tri(x.shape[1], dtype=bool)[None] if causal else None

    def block(x, p):
        y = layer_norm(x, p["ln_1"], tower.epsilon)
        x = x + self_attention(y, p["attn"], tower.heads, mask)
        y = layer_norm(x, p["ln_2"], tower.epsilon)
        return x + dense(activation(dense(y, p["mlp"]["fc"])), p["mlp"]["out"]), None

    return jax.lax.scan(block, x, params)[0]


def self_attention(x: jax.Array, params: dict, heads: int, mask: jax.Array | None) -> jax.Array:
    """Attention of x (B, L, W) on itself; `params` has "qkv" and "out", `mask` as in `attend`."""
    b, length, width = x.shape
    qkv = dense(x, params["qkv"]).reshape(b, length, 3, heads, width // heads)
    q, k, v = (qkv[:, :, i] for i in range(3))  # (B, L, H, W / H)
    mixed = attend(q, k, v, mask)  # (B, L, H, W / H)
    return dense(mixed.reshape(b, length, width), params["out"])


def attend(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Softmax attention of q (B, Q, H, D) on k, v (B, L, H, D), over L: (B, Q, H, D).

    mask (1 or B, 1 or Q, L): True where to look. The softmax is in at least float32. (Not
    jax.nn.dot_product_attention, which cannot do float16 on CPU.)
    """
    wide = working_dtype(q.dtype)
    logits = jnp.einsum("bqhd,blhd->bhql", q, k, preferred_element_type=wide)
    logits = logits * q.shape[-1] ** -0.5
    if mask is not None:
        logits = jnp.where(mask[:, None], logits, jnp.finfo(wide).min)
    weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return jnp.einsum("bhql,blhd->bqhd", weights, v)


def along_last(v: jax.Array, x: jax.Array) -> jax.Array:
    """v (W,) with as many axes as x (..., W)."""
    return v.reshape((1,) * (x.ndim - 1) + (-1,))
