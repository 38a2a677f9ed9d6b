"""torchvision's ResNet-50 on ImageNet-1k, as OpenOOD's board evaluates it: nothing is trained.

    python -m adapt_jax.train --config=configs/imagenet_cross_entropy.py --workdir=runs/in1k_ce

Weights as for imagenet_reweightood.py, its classifier included; images as for
imagenet200_reweightood.py. The features of 1.28 million training images are an hour of one CPU
core's decoding; detectors that are fitted on them need it. One GPU or TPU, and many cores.
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "imagenet_reweightood.py", method="cross_entropy")
    config.ood = "openood_imagenet"
    config.total_steps = 0
    config.views = 1
    config.model.trainable = ""
    config.detectors = "msp,mls,energy,react,ash,scale"
    return config
