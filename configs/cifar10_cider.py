"""CIDER on CIFAR-10 with ResNet-18: its script's recipe (deeplearning-wisc/cider).

    python -m adapt_jax.train --config=configs/cifar10_cider.py --workdir=runs/cifar10_cider

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-10, and `python -m adapt_jax.data download classic_palm_cifar10` the OOD
sets; --config.ood=tfds_cifar10 takes those of TFDS.
The official script's rates are negative for most of the first epoch, by a slip in its warm-up; to
have them as well: --config.optimizer.schedule=cider_as_executed
Images are normalised as ADAPT's are, so that methods compare; the script's own, of CIFAR-10:
'--config.mean=(0.491,0.482,0.447)' '--config.std=(0.247,0.244,0.262)'
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "cifar10_adapt.py", method="cider")
    config.ood = "classic_palm_cifar10"
    config.method.params.weight = 2.0
    config.method.params.proto_momentum = 0.95
    config.optimizer.weight_decay = 1e-4
    config.detectors = "mahalanobis,knn?k=100"
    return config
