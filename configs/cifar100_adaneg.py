"""AdaNeg with the adaptive gap on CIFAR-100: cifar10_adaneg.py with other classes and sets.

    python -m adapt_jax.zero_shot --config=configs/cifar100_adaneg.py --workdir=runs/cifar100-adaneg

YBZh/OpenOOD-VLM's script for CIFAR-100 (scripts/ood/adaneg/cifar100.sh) differs from that for
CIFAR-10 in the thresholds it sweeps, 1e-4, 1e-3 and 1e-2: this is the middle one. It stops with the
same error (a score "sum" that there is not). Its ID images are all 10,000 of the test set, the
suite's are OpenOOD v1.5's 9,000; it leaves the underscores of names such as "aquarium_fish" in the
prompts. Images: `python -m adapt_jax.data download openood_cifar100`.

161,000 images through ViT-B/16 at 224 pixels. The memory of 70,000 classes takes 4.2 GB of the
device, and every batch is compared with all that is in it: needs a GPU or TPU.

Reported: nothing for AdaNeg under this protocol. OpenOOD-VLM's log of MCM ("a photo of a {}.",
temperature 1 on scaled cosines), FPR95 (OOD positive) / AUROC: near 75.20 / 71.00, far 59.32 /
76.00, accuracy 66.64. Ours: not yet run on real weights.
"""

from adapt_jax.config import inherit


def get_config(suite: str = "openood_cifar100"):
    config = inherit(__file__, "cifar10_adaneg.py")
    config.class_names = "cifar100"
    config.ood = suite
    return config
