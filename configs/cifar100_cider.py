"""CIDER on CIFAR-100 with ResNet-34: its script's recipe (deeplearning-wisc/cider).

    python -m adapt_jax.train --config=configs/cifar100_cider.py --workdir=runs/cifar100_cider

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-100, and `python -m adapt_jax.data download classic_palm_cifar100` the OOD
sets; --config.ood=tfds_cifar100 takes those of TFDS.
The official script's rates are negative for most of the first epoch, by a slip in its warm-up; to
have them as well: --config.optimizer.schedule=cider_as_executed
Images are normalised as ADAPT's are, so that methods compare; the script's own, of CIFAR-10:
'--config.mean=(0.491,0.482,0.447)' '--config.std=(0.247,0.244,0.262)'
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "cifar100_adapt.py", method="cider")
    config.ood = "classic_palm_cifar100"
    config.optimizer.weight_decay = 1e-4
    config.detectors = "mahalanobis,knn?k=300"
    return config
