"""A network of somebody else's under every detector: ResNet-20 for CIFAR-10, in forty lines.

    python -m adapt_jax.evaluate --workdir=runs/resnet20 --detectors=all \\
        --model='examples.resnet20_cifar10:make?weights=resnet20.npz' \\
        --train_data=npz:cifar10_train.npz --test_data=npz:cifar10_test.npz \\
        --ood=near/tin=npz:tin.npz

The weights are those of akamaster/pytorch_resnet_cifar10 (BSD-2-Clause), its state dict saved with
numpy.savez under the names it has in PyTorch. The network is that of He et al. 2016, section 4.2.
"""

import jax
import jax.numpy as jnp
import numpy as np

import adapt_jax

CONV = ("NHWC", "OIHW", "NHWC")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def convolve(params, name, x, stride=1):
    """A 3 x 3 convolution, zero-padded by one on every side as in PyTorch."""
    pad = ((1, 1), (1, 1))
    kernel = params[f"{name}.weight"]
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), pad, dimension_numbers=CONV)


def normalize(params, name, x):
    """Batch normalisation with its running statistics."""
    mean, var, scale, bias = (
        params[f"{name}.{part}"][None, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / jnp.sqrt(var + 1e-5) * scale + bias


def features(params, images):
    """Images (N, 32, 32, 3) -> pooled features (N, 64)."""
    x = jax.nn.relu(normalize(params, "bn1", convolve(params, "conv1", images)))
    for stage in (1, 2, 3):
        for block in range(3):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = jax.nn.relu(
                normalize(params, f"{name}.bn1", convolve(params, f"{name}.conv1", x, stride))
            )
            y = normalize(params, f"{name}.bn2", convolve(params, f"{name}.conv2", y))
            more = (y.shape[-1] - x.shape[-1]) // 2  # new channels are zeros on both sides
            shortcut = jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (more, more)))
            x = jax.nn.relu(y + shortcut)
    return x.mean(axis=(1, 2))


def make(*, weights: str) -> "adapt_jax.models.wrapped.Wrapped":
    """The network with the weights of an npz file."""
    with np.load(weights) as file:
        params = {name: file[name] for name in file.files}
    head = lambda p: (p["linear.weight"].T, p["linear.bias"])  # noqa: E731
    return adapt_jax.wrap(
        features, params, image_size=32, mean=MEAN, std=STD, head=head, name="resnet20"
    )
