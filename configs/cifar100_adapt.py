"""ADAPT on CIFAR-100 with ResNet-34: the official recipe (JINHYUKSUH/ADAPT).

    python -m adapt_jax.train --config=configs/cifar100_adapt.py --workdir=runs/cifar100_adapt

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-100, and `python -m adapt_jax.data download classic_cifar100` the OOD
sets; --config.ood=tfds_cifar100 takes those of TFDS.
A folder laid out as ADAPT's README does (CIFAR100/cifar-100-python, SVHN, iSUN, LSUN_resize,
imagenet_resize, texture) is read as it is: --config=configs/cifar100_adapt.py:datasets
For the learning rates exactly as the official script executes them (full rate at step 0, zero at
step 1): --config.optimizer.schedule=adapt_as_executed
"""

from adapt_jax.config import default_config


def get_config(datasets: str = ""):
    config = default_config("adapt")
    config.train_data = "tfds:cifar100:train"
    config.test_data = "tfds:cifar100:test"
    config.ood = "classic_cifar100"
    if datasets:
        config.train_data = f"cifar:{datasets}/CIFAR100/cifar-100-python/train"
        config.test_data = f"cifar:{datasets}/CIFAR100/cifar-100-python/test"
        config.ood = (
            f"ood/svhn=mat:{datasets}/SVHN/test_32x32.mat?per_class=1000,"
            f"ood/lsun_resize=folder:{datasets}/LSUN_resize,ood/isun=folder:{datasets}/iSUN,"
            f"ood/tiny_imagenet_resize=folder:{datasets}/imagenet_resize,"
            f"ood/textures=folder:{datasets}/texture"
        )
    config.mean = (0.5071, 0.4867, 0.4408)
    config.std = (0.2675, 0.2565, 0.2761)
    config.model.name = "resnet34"
    config.detectors = "mahalanobis,knn?k=300"
    config.checkpoint_every = 980
    config.log_every = 98
    return config
