"""SupCon on CIFAR-10 with ResNet-18, trained as CIDER's script does (deeplearning-wisc/cider).

    python -m adapt_jax.train --config=configs/cifar10_supcon.py --workdir=runs/cifar10_supcon

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-10, and `python -m adapt_jax.data download classic_palm_cifar10` the OOD
sets; --config.ood=tfds_cifar10 takes those of TFDS.
Data and recipe are those of cifar10_cider.py, its remark on the official learning rates included.
Supervised contrast with mahalanobis and knn is what tables call SSD+ and KNN+.
"""

from adapt_jax.config import inherit


def get_config():
    return inherit(__file__, "cifar10_cider.py", method="supcon")
