"""SupCon on CIFAR-100 with ResNet-34, trained as CIDER's script does (deeplearning-wisc/cider).

    python -m adapt_jax.train --config=configs/cifar100_supcon.py --workdir=runs/cifar100_supcon

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-100, and `python -m adapt_jax.data download classic_palm_cifar100` the OOD
sets; --config.ood=tfds_cifar100 takes those of TFDS.
Data and recipe are those of cifar100_cider.py, its remark on the official learning rates included.
Supervised contrast with mahalanobis and knn is what tables call SSD+ and KNN+.
"""

from adapt_jax.config import inherit


def get_config():
    return inherit(__file__, "cifar100_cider.py", method="supcon")
