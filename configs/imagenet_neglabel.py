"""NegLabel on ImageNet-1k with OpenAI's ViT-B/16: 10,000 words far from every class as negatives.

    python -m adapt_jax.zero_shot --config=configs/imagenet_neglabel.py --workdir=runs/neglabel

As XueJiang16/NegLabel runs: "the nice {}", 15 % of the nouns and of the adjectives, 100 groups,
images resized bilinearly. The words are WordNet's (`apt install wordnet-base`, or a folder:
--config.corpus.place=DIR); the authors' own lists, their `txtfiles/`, reproduce their 70,000 words
exactly, WordNet 3.0 all but 234 of them. Weights, class names and images as in imagenet_mcm.py.

For one GPU or TPU: 70,000 sentences of at most 24 tokens are about 130 TFLOP, 85,640 images 3,000.

Reported, FPR95 / AUROC in percent; FPR95 with ID positive (`fpr95_idpos_nearest`), but OOD positive
(`fpr95`) in the log:

    iNaturalist     SUN             Places          Textures        mean
     1.91 / 99.49   20.53 / 95.49   35.59 / 91.64   43.56 / 90.22   25.40 / 94.21   paper, re-quoted
     1.24 / 99.52   21.55 / 95.46   38.54 / 92.15   38.54 / 91.11   24.97 / 94.56   OpenOOD-VLM log

The log's variant is the `neglabel` of imagenet_adaneg.py. Ours: not yet run on real weights.
"""

from adapt_jax.config.zero_shot import default_config


def get_config(suite: str = "mos_imagenet"):
    config = default_config()
    config.ood = suite
    config.preprocess.variant = "neglabel"
    config.detectors = "neglabel"
    return config
