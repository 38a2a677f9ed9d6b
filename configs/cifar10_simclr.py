"""SimCLR on CIFAR-10 with ResNet-18: cifar10_supcon.py without the labels.

    python -m adapt_jax.train --config=configs/cifar10_simclr.py --workdir=runs/cifar10_simclr

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-10, and `python -m adapt_jax.data download classic_palm_cifar10` the OOD
sets; --config.ood=tfds_cifar10 takes those of TFDS.
Only mahalanobis still reads labels, for its class means; ssd (one Gaussian) and knn do not.
The temperature is CIDER's 0.1; others train SimCLR with 0.5: --config.method.params.temperature=0.5
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "cifar10_supcon.py", method="supcon")
    config.method.params.use_labels = False
    config.detectors = "ssd,mahalanobis,knn?k=100"
    return config
