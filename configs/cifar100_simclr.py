"""SimCLR on CIFAR-100 with ResNet-34: cifar100_supcon.py without the labels.

    python -m adapt_jax.train --config=configs/cifar100_simclr.py --workdir=runs/cifar100_simclr

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-100, and `python -m adapt_jax.data download classic_palm_cifar100` the OOD
sets; --config.ood=tfds_cifar100 takes those of TFDS.
Only mahalanobis still reads labels, for its class means; ssd (one Gaussian) and knn do not.
The temperature is CIDER's 0.1; others train SimCLR with 0.5: --config.method.params.temperature=0.5
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "cifar100_supcon.py", method="supcon")
    config.method.params.use_labels = False
    config.detectors = "ssd,mahalanobis,knn?k=300"
    return config
