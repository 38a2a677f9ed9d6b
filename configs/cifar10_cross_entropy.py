"""Cross-entropy on CIFAR-10 with ResNet-18: OpenOOD's base classifier (Jingkang50/OpenOOD).

    python -m adapt_jax.train --config=configs/cifar10_cross_entropy.py --workdir=runs/c10_ce

100 epochs of 391 steps, 128 images each, one view. Needs one GPU or TPU.
TFDS downloads CIFAR-10, and `python -m adapt_jax.data download openood_cifar10` the OOD
sets; --config.ood=tfds_cifar10 takes those of TFDS.
Differs from OpenOOD: flips are the same, but it pads by 4 and crops 32, where crops of random size
and shape are resized here; its cosine ends at 1e-6, this one at a thousandth of the base rate.
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "cifar10_reweightood.py", method="cross_entropy")
    config.batch_size = 128
    config.views = 1
    config.optimizer.weight_decay = 5e-4
    config.optimizer.warmup_epochs = 0
    config.augment.jitter_probability = 0.0
    config.augment.grayscale = 0.0
    config.detectors = "mahalanobis?covariance=within,knn?k=50"
    config.checkpoint_every = 3910
    config.log_every = 391
    return config
