"""The ResNet image tower of CLIP (Radford et al. 2021, section 2.4; openai/CLIP `ModifiedResNet`).

Unlike torchvision's: a stem of three convolutions, average pooling before strided convolutions
instead of stride, and attention pooling at the end. Batch normalisation uses its stored statistics
always, and they get no gradient.
"""

import jax
import jax.numpy as jnp

from adapt_jax.clip.tower_records import ModifiedResNet
from adapt_jax.clip.towers.transformer import (
    array,
    attend,
    batch_norm,
    batch_norm_shapes,
    dense,
    dense_shapes,
)
from adapt_jax.core.errors import InputError


def shapes(tower: ModifiedResNet, embed_dim: int) -> dict:
    """The parameters, as shapes."""
    w, side, last = tower.width, tower.image_size // 32, tower.pooled_width
    tree = {
        "conv1": _conv_shapes(3, 3, w // 2),
        "bn1": batch_norm_shapes(w // 2),
        "conv2": _conv_shapes(3, w // 2, w // 2),
        "bn2": batch_norm_shapes(w // 2),
        "conv3": _conv_shapes(3, w // 2, w),
        "bn3": batch_norm_shapes(w),
        "attnpool": {
            "positions": array(1 + side * side, last),
            **{name: dense_shapes(last, last) for name in ("query", "key", "value")},
            "out": dense_shapes(last, embed_dim),
        },
    }
    inputs = w
    for name, stride, inner in _blocks(tower):
        block = {
            "conv1": _conv_shapes(1, inputs, inner),
            "bn1": batch_norm_shapes(inner),
            "conv2": _conv_shapes(3, inner, inner),
            "bn2": batch_norm_shapes(inner),
            "conv3": _conv_shapes(1, inner, 4 * inner),
            "bn3": batch_norm_shapes(4 * inner),
        }
        if stride > 1 or inputs != 4 * inner:
            block["downsample_conv"] = _conv_shapes(1, inputs, 4 * inner)
            block["downsample_bn"] = batch_norm_shapes(4 * inner)
        tree[name] = block
        inputs = 4 * inner
    return tree


def features(params: dict, tower: ModifiedResNet, pixels: jax.Array, kernel: str = "") -> jax.Array:
    """Image embeddings (B, embed_dim) of normalised pixels (B, H, W, 3), in the dtype of these.

    kernel: of other towers' positions; a ResNet takes images of one size.
    """
    return _attention_pool(stages(params, tower, pixels)[-1], params["attnpool"], tower.heads)


def stages(params: dict, tower: ModifiedResNet, pixels: jax.Array) -> list[jax.Array]:
    """What each of the four stages returns: (B, H / 4, W / 4, 4 width) to (B, H / 32, ...).

    Raises:
      InputError: images of another size than the model's, which its attention pool cannot take.
    """
    if pixels.shape[1:3] != (tower.image_size, tower.image_size):
        height, width = pixels.shape[1:3]
        raise InputError(
            f"this CLIP takes {tower.image_size} x {tower.image_size} images only, "
            f"got {height} x {width}"
        )
    x = pixels
    for i, stride in ((1, 2), (2, 1), (3, 1)):
        x = _conv_bn_relu(x, params, i, stride)
    x = _average_pool(x, 2)
    outputs = {}
    for name, stride, _ in _blocks(tower):
        x = outputs[name.split("_")[0]] = _bottleneck(x, params[name], stride)
    return list(outputs.values())  # the last block of each stage


def _blocks(tower):
    """(name, stride, inner width) of every residual block."""
    for stage, count in enumerate(tower.blocks):
        for block in range(count):
            stride = 2 if stage and not block else 1
            yield f"layer{stage + 1}_{block}", stride, tower.width * 2**stage


def _bottleneck(x, params, stride):
    y = _conv_bn_relu(x, params, 1)
    y = _conv_bn_relu(y, params, 2)
    y = batch_norm(_conv(_average_pool(y, stride), params["conv3"]), params["bn3"])
    if "downsample_conv" in params:
        x = _conv(_average_pool(x, stride), params["downsample_conv"])
        x = batch_norm(x, params["downsample_bn"])
    return jax.nn.relu(x + y)


def _attention_pool(x, params, heads):
    b, h, w, c = x.shape
    x = x.reshape(b, h * w, c)
    x = jnp.concatenate([jnp.mean(x, axis=1, keepdims=True), x], axis=1)  # (B, 1 + HW, C)
    x = x + params["positions"].astype(x.dtype)[None]
    inputs = {"query": x[:, :1], "key": x, "value": x}
    q, k, v = (dense(t, params[n]).reshape(b, -1, heads, c // heads) for n, t in inputs.items())
    pooled = attend(q, k, v)  # (B, 1, heads, C / heads)
    return dense(pooled.reshape(b, c), params["out"])


def _conv_bn_relu(x, params, i, stride=1):
    return jax.nn.relu(batch_norm(_conv(x, params[f"conv{i}"], stride), params[f"bn{i}"]))


def _conv(x, params, stride=1):
    pad = params["kernel"].shape[0] // 2
    return jax.lax.conv_general_dilated(
        x,
        params["kernel"].astype(x.dtype),
        window_strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _average_pool(x, size):
    if size == 1:
        return x
    b, h, w, c = x.shape
    return jnp.mean(x.reshape(b, h // size, size, w // size, size, c), axis=(2, 4))


def _conv_shapes(size, inputs, outputs):
    return {"kernel": array(size, size, inputs, outputs)}
