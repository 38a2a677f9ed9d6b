"""TANL on ImageNet-1k with OpenAI's ViT-B/16: every word is a candidate, batches pick 1,000.

    python -m adapt_jax.zero_shot --config=configs/imagenet_tanl.py --workdir=runs/tanl

As YBZh/OpenOOD-VLM runs. Prompts and images are those of imagenet_adaneg.py; the text bank keeps
all candidates, least similar first, because TANL selects among them by itself. The stream starts
from 15 noise images, which are made here and go through CLIP. The authors compute in float16, we in
float32. `:openood_imagenet` behind the file name takes OpenOOD v1.5's near and far sets. Weights,
words and class names as in imagenet_neglabel.py.

For one GPU or TPU; the remembered activations of 70,000 words take 0.2 GB of the device.

Reported, FPR95 (OOD positive, `fpr95`) / AUROC in percent, OpenAI's ViT-B/16: mean of the four sets
9.81 / 97.97; FPR95 on OpenOOD v1.5 near 60.06, far 17.21. The published runs set gamma to 2, 1 and
0; which of them these numbers are from is not known. Ours: not yet run on real weights.
"""

from adapt_jax.config.zero_shot import default_config


def get_config(suite: str = "mos_imagenet"):
    config = default_config()
    config.ood = suite
    config.prompts.preset = "openood_vlm"
    config.corpus.without_labels = True
    config.negatives.convention = "openood_vlm"
    config.negatives.fraction = 1.0
    config.preprocess.variant = "openai"
    config.preprocess.resize = 256
    config.detectors = "tanl"
    return config
