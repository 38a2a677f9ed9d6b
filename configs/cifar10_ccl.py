"""CCL on CIFAR-10 with ResNet-18, without labels: implemented from the abstract, values ours.

    python -m adapt_jax.train --config=configs/cifar10_ccl.py --workdir=runs/cifar10_ccl

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU.
TFDS downloads CIFAR-10, and `python -m adapt_jax.data download classic_palm_cifar10` the OOD
sets; --config.ood=tfds_cifar10 takes those of TFDS.
No code of CCL is public and no result of the paper is promised. Network, optimiser, length and
batch are what SSD and PALM train with on this data; 10 clusters are our choice. The scores are
SSD's with one Gaussian and with one mean per cluster, the nearest centre's, and knn.
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "cifar10_adapt.py", method="ccl")
    config.ood = "classic_palm_cifar10"
    config.method.params.num_clusters = 10
    config.optimizer.weight_decay = 1e-4
    config.detectors = "ssd,ssd?per_class=True,nearest_mean,knn?k=100"
    return config
