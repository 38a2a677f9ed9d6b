"""MCM and NegLabel on CIFAR-100 with OpenAI's ViT-B/16, against ADAPT's list of sets.

    python -m adapt_jax.zero_shot --config=configs/cifar100_neglabel.py --workdir=runs/cifar100

TFDS fetches CIFAR-100, whose class names come with it (class_names "data"); the other sets come by
`python -m adapt_jax.data download classic_cifar100`. OpenOOD v1.5's lists have no names:

    python -m adapt_jax.zero_shot --config=configs/cifar100_neglabel.py:openood_cifar100 \
        --workdir=runs/cifar100-openood --config.class_names=cifar100

54,565 images through ViT-B/16 at 224 pixels, and 70,000 sentences: for one GPU or TPU.

Reported, OpenOOD v1.5, MCM ("a photo of a {}.", temperature 1 on scaled cosines), FPR95 (OOD
positive) / AUROC from OpenOOD-VLM's log: near 75.20 / 71.00, far 59.32 / 76.00, accuracy 66.64.
NegLabel has no such row. Ours: not yet run on real weights.
"""

from adapt_jax.config.zero_shot import default_config


def get_config(suite: str = "classic_cifar100"):
    config = default_config()
    config.class_names = "data"
    config.ood = suite
    config.preprocess.variant = "openai"
    config.detectors = "mcm?logit_scale=100,neglabel"
    return config
