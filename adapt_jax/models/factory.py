"""Builds a `Model` of pure functions around a residual network, after checking every choice."""

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from adapt_jax.core.errors import InputError
from adapt_jax.models.base import Model
from adapt_jax.models.conv import Backward
from adapt_jax.models.initialize import initialize
from adapt_jax.models.layers import Conv, Linear
from adapt_jax.models.resnet import BasicBlock, Bottleneck, Encoder, Network

SMALLEST_IMAGE = 8  # three stages halve it


def resnet(
    name: str, block: type[BasicBlock] | type[Bottleneck], default_blocks: tuple[int, ...]
) -> Callable[..., Model]:
    """The factory of one architecture; its arguments are those of `make` below."""

    def make(
        *,
        width: int | Sequence[int] = 64,
        blocks: Sequence[int] | str | None = None,
        head: Literal["mlp", "linear"] = "mlp",
        embedding_dim: int = 128,
        num_classes: int | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
        conv: Literal["auto", "xla", "matmul_backward"] = "auto",
        conv_chunk: int | Literal["auto"] | None = "auto",
        remat: bool = False,
    ) -> Model:
        """A residual network for small images.

        Args:
          width: channels of the first stage, doubled by each later one; or those of all four.
          blocks: blocks per stage, four numbers or "2,2,2,2"; None for the published depth.
          head: "mlp" gives unit embeddings, "linear" gives logits.
          embedding_dim: D, of the "mlp" head.
          num_classes: C, which the "linear" head needs; the "mlp" head has no use for it.
          dtype: the convolutions compute in it ("float32" means float64 where parameters or images
            are). Parameters, statistics, features and the head are float32 always.
          conv: backward pass of the convolutions, see `conv.Backward`.
          conv_chunk: images per piece of the weight gradient when conv is "matmul_backward". Pass
            None when the batch is sharded, a small number (4) when it is not; "auto" decides by the
            number of devices there are.
          remat: store only each block's input for the backward pass, and compute the rest again.

        Raises:
          InputError: a value out of its range.
        """
        widths = _widths(width)
        depths = _blocks(blocks, default_blocks)
        _one_of("head", head, ("mlp", "linear"))
        _one_of("dtype", dtype, ("float32", "bfloat16"))
        _one_of("conv", conv, ("auto", "xla", "matmul_backward"))
        if conv_chunk not in ("auto", None):
            _positive("conv_chunk", conv_chunk)
        if head == "mlp":
            _positive("embedding_dim", embedding_dim)
        elif num_classes is None:
            raise InputError('head="linear" needs num_classes, the number of classes')
        else:
            _positive("num_classes", num_classes)
        backward = Backward(conv, conv_chunk)
        encoder = partial(Encoder, block, widths, depths, backward=backward, remat=bool(remat))
        outputs = (
            {"embedding_dim": embedding_dim} if head == "mlp" else {"num_classes": num_classes}
        )
        return _pure(name, Network(encoder, **outputs), block.expansion * widths[-1], dtype)

    return make


def _pure(name: str, network: Network, feature_dim: int, dtype: str) -> Model:
    """Hides the module behind functions of plain dicts."""

    def shapes(image_shape):
        image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
        return jax.eval_shape(partial(network.init, train=False), jax.random.key(0), image)

    def init(key, image_shape=(32, 32, 3), param_dtype=jnp.float32):
        if len(image_shape) != 3 or min(image_shape[:2]) < SMALLEST_IMAGE or image_shape[2] < 1:
            raise InputError(
                f"image_shape must be (height, width, channels) with sides of at least "
                f"{SMALLEST_IMAGE}, got {tuple(image_shape)}"
            )
        return initialize(key, shapes(image_shape), param_dtype)

    def apply(variables, images, train):
        if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
            raise InputError(
                f"images must be floating-point (N, H, W, channels), got {images.dtype} "
                f"{images.shape}; scale and normalise them first"
            )
        if dtype == "bfloat16":
            compute = jnp.bfloat16
        else:
            compute = jnp.result_type(jnp.float32, images, *jax.tree.leaves(variables["params"]))
        mutable = ["batch_stats"] if train else []
        outputs, updated = network.apply(
            variables, images.astype(compute), train=train, mutable=mutable
        )
        return outputs, updated["batch_stats"] if train else variables["batch_stats"]

    def flops_per_image(height, width):
        variables = shapes((height, width, 3))
        image = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)

        def products(variables, image):
            keep = lambda module, _: isinstance(module, (Conv, Linear))  # noqa: E731
            _, seen = network.apply(
                variables, image, False, capture_intermediates=keep, mutable=["intermediates"]
            )
            return seen["intermediates"]

        outputs = flatten_dict(jax.eval_shape(products, variables, image))
        params = flatten_dict(variables["params"])
        return sum(
            2 * math.prod(out.shape[1:-1]) * math.prod(params[*path[:-1], "kernel"].shape)
            for path, (out,) in outputs.items()
        )

    def classifier(variables):
        if network.num_classes is None:
            return None
        layer = variables["params"]["fc"]
        return layer["kernel"], layer["bias"]

    return Model(
        name=name,
        init=init,
        apply=apply,
        feature_dim=feature_dim,
        embedding_dim=network.embedding_dim,
        num_classes=network.num_classes,
        flops_per_image=flops_per_image,
        classifier=classifier,
    )


def _positive(name: str, value) -> int:
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
    return number


def _one_of(name: str, value, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _widths(width) -> tuple[int, ...]:
    if isinstance(width, (str, bytes)) or not isinstance(width, Sequence):
        return tuple(_positive("width", width) << stage for stage in range(4))
    return _four("width", width)


def _blocks(blocks, default: tuple[int, ...]) -> tuple[int, ...]:
    if blocks is None:
        return default
    if isinstance(blocks, str):
        try:
            blocks = [int(part) for part in blocks.split(",")]
        except ValueError:
            raise InputError(f'blocks must look like "2,2,2,2", got {blocks!r}') from None
    if not isinstance(blocks, Sequence):
        raise InputError(f"blocks must be four numbers, one per stage, got {blocks!r}")
    return _four("blocks", blocks)


def _four(name: str, values: Sequence) -> tuple[int, ...]:
    if len(values) != 4:
        raise InputError(f"{name} must be four numbers, one per stage, got {tuple(values)}")
    return tuple(_positive(name, value) for value in values)
