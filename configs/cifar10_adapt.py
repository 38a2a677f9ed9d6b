"""ADAPT on CIFAR-10 with ResNet-18; the hyper-parameters are CIFAR-100's (JINHYUKSUH/ADAPT).

    python -m adapt_jax.train --config=configs/cifar10_adapt.py --workdir=runs/cifar10_adapt

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-10, and `python -m adapt_jax.data download classic_cifar10` the OOD
sets; --config.ood=tfds_cifar10 takes those of TFDS.
"""

from adapt_jax.config import default_config


def get_config():
    config = default_config("adapt")
    config.train_data = "tfds:cifar10:train"
    config.test_data = "tfds:cifar10:test"
    config.ood = "classic_cifar10"
    config.mean = (0.4914, 0.4822, 0.4465)
    config.std = (0.2023, 0.1994, 0.2010)
    config.model.name = "resnet18"
    config.detectors = "mahalanobis,knn?k=300"
    config.checkpoint_every = 980
    config.log_every = 98
    return config
