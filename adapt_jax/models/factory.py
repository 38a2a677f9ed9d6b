"""Builds a `Model` of pure functions around a residual network, after checking every choice."""

import math
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from adapt_jax.core import checks, generator
from adapt_jax.core.errors import InputError
from adapt_jax.models import stages
from adapt_jax.models.base import Model, Variables
from adapt_jax.models.conv import Backward
from adapt_jax.models.initialize import initialize
from adapt_jax.models.layers import Conv, Linear
from adapt_jax.models.resnet import BasicBlock, Bottleneck, Encoder, Network

SMALLEST_IMAGE = {"cifar": 8, "imagenet": 32}  # sides are halved three times, and five


def resnet(
    name: str, block: type[BasicBlock] | type[Bottleneck], default_blocks: tuple[int, ...]
) -> Callable[..., Model]:
    """The factory of one architecture; its arguments are those of `make` below."""

    def make(
        *,
        width: int | Sequence[int] = 64,
        blocks: Sequence[int] | str | None = None,
        stem: Literal["cifar", "imagenet"] = "cifar",
        head: Literal["mlp", "linear"] = "mlp",
        embedding_dim: int = 128,
        num_classes: int | None = None,
        feature_norm: float | None = None,
        trainable: str | Sequence[str] = "",
        frozen_batch_norm: bool = True,
        dtype: Literal["float32", "bfloat16"] = "float32",
        conv: Literal["auto", "xla", "wide", "matmul_backward"] = "auto",
        conv_chunk: int | Literal["auto"] | None = "auto",
        remat: bool = False,
    ) -> Model:
        """A residual network.

        Args:
          width: number of channels of the first stage, which each later stage doubles; or four
            numbers, one per stage.
          blocks: number of blocks per stage, four numbers or "2,2,2,2"; None for the published
            depth. Zeros at the end leave the last stages out: (3, 3, 3, 0) has three.
          stem: first layers: "cifar" keeps the image's size and takes sides of at least 8;
            "imagenet" divides it by four, as pytorch/vision does, and takes sides of at least 32.
          head: last layers: "mlp" gives unit embeddings, "linear" gives logits.
          embedding_dim: width D of the embeddings of the "mlp" head.
          num_classes: number of classes C, which the "linear" head needs and the "mlp" head
            ignores.
          feature_norm: temperature of train-time feature normalisation for the "linear" head, see
            `resnet.Network`; 0.1 in the published CIFAR runs. None: off.
          trainable: stages that train, "layer4,head" or a sequence of names, out of stem, layer1 to
            layer4, and head ("mlp") or fc ("linear"). The others get no gradient, and what comes
            before the first trained stage has no backward pass. Nothing named: everything trains.
          frozen_batch_norm: batch normalisation of stages that do not train uses its running
            statistics and leaves them alone. False: it normalises by the batch and its statistics
            keep moving, as in the official fine-tuning of sudarshanregmi/ReweightOOD.
          dtype: dtype of the convolutions ("float32" means float64 where parameters or images are).
            Parameters, statistics, features and the head are always float32.
          conv: backward pass of the convolutions, see `conv.Backward`.
          conv_chunk: images per piece of the weight gradient when conv is "matmul_backward". Pass
            None when the batch is sharded, a small number (4) when it is not; "auto" decides by the
            number of devices there are.
          remat: whether to store only each block's input for the backward pass and compute the rest
            again, which needs less memory and more time.

        Raises:
          ValueError: a value out of its range.
        """
        depths = _blocks(blocks, default_blocks)
        widths = _widths(width)[: len(depths)]
        checks.one_of(tuple(SMALLEST_IMAGE), stem=stem)
        checks.one_of(("mlp", "linear"), head=head)
        checks.one_of(("float32", "bfloat16"), dtype=dtype)
        checks.one_of(("auto", "xla", "wide", "matmul_backward"), conv=conv)
        if conv_chunk not in ("auto", None):
            checks.positive_int(conv_chunk=conv_chunk)
        if head == "mlp":
            checks.positive_int(embedding_dim=embedding_dim)
        elif num_classes is None:
            raise InputError('head="linear" needs num_classes, the number of classes')
        else:
            checks.positive_int(num_classes=num_classes)
        if feature_norm is not None:
            checks.positive(feature_norm=feature_norm)
            if head != "linear":
                raise InputError('feature_norm is for the classifier: it needs head="linear"')
        frozen = stages.frozen(trainable, len(depths), "head" if head == "mlp" else "fc")
        encoder = partial(
            Encoder,
            block,
            widths,
            depths,
            backward=Backward(conv, conv_chunk),
            remat=bool(remat),
            stem=stem,
            evaluating=frozen if frozen_batch_norm else frozenset(),
        )
        outputs = (
            {"embedding_dim": embedding_dim}
            if head == "mlp"
            else {"num_classes": num_classes, "feature_norm": feature_norm}
        )
        network = Network(encoder, **outputs)
        traced = partial(
            _traced,
            block,  # type: ignore[arg-type]  # hashable, as all classes
            widths,
            depths,
            stem,
            network.embedding_dim,
            network.num_classes,
        )
        return _pure(
            name, network, traced, block.expansion * widths[-1], dtype, SMALLEST_IMAGE[stem], frozen
        )

    return make


@lru_cache(maxsize=32)
def _traced(
    block, widths, depths, stem, embedding_dim, num_classes, image_shape
) -> tuple[Variables, int]:
    """The variables' shapes and the FLOPs of one image, from one trace without arithmetic.

    They do not depend on how the network is computed or on what trains. Tracing takes long: hence
    the cache. The third and later blocks of a stage have the shapes of its second and are not
    traced.
    """
    network = Network(
        partial(Encoder, block, widths, tuple(min(n, 2) for n in depths), stem=stem),
        embedding_dim=embedding_dim,
        num_classes=num_classes,
    )
    keep = lambda module, _: isinstance(module, (Conv, Linear))  # noqa: E731
    init = partial(network.init, train=False, mutable=True, capture_intermediates=keep)
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = jax.eval_shape(init, generator.key(0), image)
    for tree in variables.values():
        encoder = tree["encoder"]
        for stage, count in enumerate(depths, 1):
            for i in range(2, count):
                encoder[f"layer{stage}_{i}"] = encoder[f"layer{stage}_1"]
    outputs = flatten_dict(variables.pop("intermediates"))
    params = flatten_dict(variables["params"])
    flops = sum(
        2 * math.prod(out.shape[1:-1]) * math.prod(params[*path[:-1], "kernel"].shape)
        for path, (out,) in outputs.items()
    )
    return variables, flops


def _pure(
    name: str,
    network: Network,
    traced: Callable[[tuple[int, ...]], tuple[Variables, int]],
    feature_dim: int,
    dtype: str,
    smallest_image: int,
    frozen: frozenset[str],
) -> Model:
    """Hides the module behind functions of plain dicts."""

    def init(key, image_shape=(32, 32, 3), param_dtype=jnp.float32):
        if len(image_shape) != 3 or min(image_shape[:2]) < smallest_image or image_shape[2] < 1:
            raise InputError(
                f"image_shape must be (height, width, channels) with sides of at least "
                f"{smallest_image}, got {tuple(image_shape)}"
            )
        return initialize(key, traced(tuple(image_shape))[0], param_dtype)

    def trainable(params):
        return jax.tree.map(operator.not_, stages.select(params, frozen))

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
        if train and frozen:
            # Without a tangent, nothing before the first trained stage is differentiated.
            params = jax.tree.map(
                lambda p, keep: p if keep else jax.lax.stop_gradient(p),
                variables["params"],
                trainable(variables["params"]),
            )
            variables = variables | {"params": params}
        mutable = ["batch_stats"] if train else []
        outputs, updated = network.apply(
            variables, images.astype(compute), train=train, mutable=mutable
        )
        return outputs, updated["batch_stats"] if train else variables["batch_stats"]

    def flops_per_image(height, width):
        return traced((height, width, 3))[1]

    def classifier(variables):
        if network.num_classes is None:
            return None
        layer = variables["params"]["fc"]
        return layer["kernel"] / (network.feature_norm or 1.0), layer["bias"]

    return Model(
        name=name,
        init=init,
        apply=apply,
        feature_dim=feature_dim,
        embedding_dim=network.embedding_dim,
        num_classes=network.num_classes,
        flops_per_image=flops_per_image,
        classifier=classifier,
        trainable=trainable if frozen else None,
    )


def _widths(width) -> tuple[int, ...]:
    if isinstance(width, (str, bytes)) or not isinstance(width, Sequence):
        checks.positive_int(width=width)
        return tuple(int(width) << stage for stage in range(4))
    return _positive("width", _four("width", width))


def _blocks(blocks, default: tuple[int, ...]) -> tuple[int, ...]:
    """Of the stages there are: without the zeros at the end."""
    if blocks is None:
        return default
    if isinstance(blocks, str):
        try:
            blocks = [int(part) for part in blocks.split(",")]
        except ValueError:
            raise InputError(f'blocks must look like "2,2,2,2", got {blocks!r}') from None
    if not isinstance(blocks, Sequence):
        raise InputError(f"blocks must be four numbers, one per stage, got {blocks!r}")
    counts = _four("blocks", blocks)
    while len(counts) > 1 and counts[-1] == 0:
        counts = counts[:-1]
    return _positive("blocks", counts)


def _four(name: str, values: Sequence) -> tuple:
    if len(values) != 4:
        raise InputError(f"{name} must be four numbers, one per stage, got {tuple(values)}")
    return tuple(values)


def _positive(name: str, values: tuple) -> tuple[int, ...]:
    for value in values:
        checks.positive_int(**{name: value})
    return tuple(map(int, values))
