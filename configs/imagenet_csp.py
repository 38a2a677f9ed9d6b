"""CSP on ImageNet-1k with OpenAI's ViT-B/16: noun phrases instead of adjectives as negatives.

    python -m adapt_jax.zero_shot --config=configs/imagenet_csp.py --workdir=runs/csp

As MengyuanChen21/NeurIPS2024-CSP runs: NegLabel's score and images; four more word files are left
out; adjectives become phrases such as "wet landscape"; every text is the average of several
prompts; a word that is nearly an ImageNet class is chosen last. The superclass of each adjective is
drawn in the order in which the words are read, in the original a directory's listing, here by name:
the draws are those of the original, but fall on other adjectives. Weights, words, class names and
images as in imagenet_neglabel.py.

For one GPU or TPU: 420,000 sentences are about six times the work of imagenet_neglabel.py's.

Reported, FPR95 (ID positive, `fpr95_idpos_nearest`) / AUROC in percent:

    iNaturalist     SUN             Places          Textures        mean
     1.54 / -       13.66 / -       29.32 / -       25.52 / -       17.51 / 95.76   paper, re-quoted

Ours: not yet run on real weights.
"""

from adapt_jax.config.zero_shot import default_config


def get_config(suite: str = "mos_imagenet"):
    config = default_config()
    config.ood = suite
    config.prompts.preset = "csp"
    config.corpus.skip += ",noun.person,noun.quantity,noun.group,adj.pert"
    config.corpus.phrases = True
    config.negatives.near_duplicate = 0.95
    config.preprocess.variant = "neglabel"
    config.detectors = "csp"
    return config
