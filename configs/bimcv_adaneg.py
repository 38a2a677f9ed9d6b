"""AdaNeg on BIMCV-COVID19+ with OpenAI's ViT-B/16: X-rays of chests, against CT scans and bones.

    python -m adapt_jax.zero_shot --config=configs/bimcv_adaneg.py --workdir=runs/bimcv

As YBZh/OpenOOD-VLM runs (scripts/ood/adaneg/bimcv.sh): two ID classes, each a whole clause ("a
normal chest X-ray with clear lungs"), 10,000 negatives, proxy=sample, no gap. Images: `python -m
adapt_jax.data download openood_bimcv`. Weights and words as in imagenet_neglabel.py.

1,581 images through ViT-B/16, and 70,000 sentences: for one GPU or TPU.

Reported, FPR95 (OOD positive, `fpr95`) / AUROC in percent, from the logs in that script:

    CT              X-ray of bones  mean
    100.00 / 86.43  0.00 / 100.00   50.00 / 93.21   "The nice {}."
    100.00 / 93.48  0.11 / 99.99    50.06 / 96.74   "a photo of a {}."
    100.00 / 83.13  0.34 / 99.97    50.17 / 91.55   NegLabel, "The nice {}."
    100.00 / 63.53  0.56 / 99.68    50.28 / 81.61   NegLabel, "a photo of a {}."

The negatives of "a photo of a {}." are mined with "The nice {}." there, and with their own prompt
here (--config.prompts.preset=openood_vlm_simple). What the script calls NegLabel is AdaNeg with
threshold 1, see `python -m adapt_jax.reproduce list neglabel_bimcv`. An FPR95 of 100 says that one
CT scan in twenty scores higher than every X-ray of a chest. Ours: not yet run on real weights.
"""

from adapt_jax.config.zero_shot import default_config


def get_config(suite: str = "openood_bimcv"):
    config = default_config()
    config.class_names = "bimcv"
    config.ood = suite
    config.prompts.preset = "openood_vlm"
    config.corpus.without_labels = True
    config.negatives.convention = "openood_vlm"
    config.negatives.count = 10_000
    config.preprocess.variant = "openai"
    config.detectors = "neglabel?groups=5,adaneg?proxy=sample&beta=5.5&gap=0.0"
    return config
