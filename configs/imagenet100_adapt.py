"""ADAPT on ImageNet-100: a pretrained ResNet-34, of which layer4 and a new head train.

    python -m adapt_jax.train --config=configs/imagenet100_adapt.py --workdir=runs/in100_adapt

ADAPT's code (JINHYUKSUH/ADAPT) evaluates ImageNet-100 and takes over CIDER's fine-tuning of the
last stage, but no script says with which values: data, length and optimiser are those of
imagenet100_cider.py, the method's hyper-parameters CIFAR-100's. Needs GPUs or TPUs, and many cores.
"""

from adapt_jax.config import inherit


def get_config():
    return inherit(__file__, "imagenet100_cider.py", method="adapt")
