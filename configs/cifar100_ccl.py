"""CCL on CIFAR-100 with ResNet-34, without labels: implemented from the abstract, values ours.

    python -m adapt_jax.train --config=configs/cifar100_ccl.py --workdir=runs/cifar100_ccl

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-100, and `python -m adapt_jax.data download classic_palm_cifar100` the OOD
sets; --config.ood=tfds_cifar100 takes those of TFDS.
No code of CCL is public and no result of the paper is promised. Network, optimiser, length and
batch are what SSD and PALM train with on this data; 100 clusters are our choice. The scores are
SSD's with one Gaussian and with one mean per cluster, the nearest centre's, and knn.
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "cifar100_adapt.py", method="ccl")
    config.ood = "classic_palm_cifar100"
    config.method.params.num_clusters = 100
    config.optimizer.weight_decay = 1e-4
    config.detectors = "ssd,ssd?per_class=True,nearest_mean,knn?k=300"
    return config
