"""PALM on CIFAR-100 with ResNet-34: the recipe of its run script (jeff024/PALM).

    python -m adapt_jax.train --config=configs/cifar100_palm.py --workdir=runs/cifar100_palm

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-100, and `python -m adapt_jax.data download classic_palm_cifar100` the OOD
sets; --config.ood=tfds_cifar100 takes those of TFDS.
Data and recipe are those of cifar100_adapt.py; palm_ssd is PALM's own score. For the learning rates
exactly as the official script executes them: --config.optimizer.schedule=adapt_as_executed
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "cifar100_adapt.py", method="palm")
    config.ood = "classic_palm_cifar100"
    config.detectors = "palm_ssd,mahalanobis,knn?k=300"
    return config
