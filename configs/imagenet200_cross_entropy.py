"""Cross-entropy on ImageNet-200 with ResNet-18: OpenOOD's base classifier (Jingkang50/OpenOOD).

    python -m adapt_jax.train --config=configs/imagenet200_cross_entropy.py --workdir=runs/in200_ce

90 epochs, 256 images, one view. Images as for imagenet200_reweightood.py. Needs GPUs or TPUs, and
many cores to decode for them. Differs from OpenOOD: its cosine ends at 1e-6, this one at a
thousandth of the base rate.
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "imagenet200_reweightood.py", method="cross_entropy")
    config.ood = "openood_imagenet200"
    config.batch_size = 256
    config.views = 1
    config.optimizer.weight_decay = 5e-4
    config.optimizer.warmup_epochs = 0
    config.augment.crop_scale = (0.08, 1.0)
    config.augment.jitter_probability = 0.0
    config.augment.grayscale = 0.0
    config.detectors = "msp,mls,knn?k=50"
    return config
