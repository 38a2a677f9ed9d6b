"""MCM on ImageNet-1k with OpenAI's ViT-B/16: one prompt per class, no negatives, nothing to train.

    python -m adapt_jax.zero_shot --config=configs/imagenet_mcm.py --workdir=runs/mcm

As deeplearning-wisc/MCM runs: "a photo of a {}", raw cosines, temperature 1, images resized
bilinearly. CLIP is fetched from the Hugging Face hub (pip install huggingface_hub; or give a
folder: --config.clip.path=DIR), ImageNet's class names from an installed open_clip (or a file), the
images by `python -m adapt_jax.data download mos_imagenet` (ImageNet itself by hand).

One pass of 85,640 images through ViT-B/16, 35 GFLOP each: for one GPU or TPU, and as many CPU cores
as can decode JPEGs for it.

Reported, FPR95 / AUROC in percent; FPR95 with ID positive (`fpr95_idpos_nearest`), but OOD positive
(`fpr95`) in the logs:

    iNaturalist     SUN             Places          Textures        mean
    30.91 / 94.61   37.59 / 92.57   44.69 / 89.77   57.77 / 86.11   42.74 / 90.76   paper, re-quoted
    28.69 / 92.98   37.36 / 90.64   53.75 / 87.30   58.71 / 85.19   44.63 / 89.03   OpenOOD-VLM log

The log is of another variant: --config.prompts.labels='a photo of a {}.'
--config.detectors='mcm?logit_scale=100&temperature=2' --config.preprocess.variant=openai
--config.preprocess.resize=256. Ours: not yet run on real weights.
"""

from adapt_jax.config.zero_shot import default_config


def get_config(suite: str = "mos_imagenet"):
    config = default_config()
    config.ood = suite
    config.prompts.preset = "mcm"
    config.negatives.fraction = 0.0
    config.preprocess.variant = "neglabel"
    config.detectors = "mcm"
    return config
