"""AdaNeg with the adaptive gap on CIFAR-10, OpenAI's ViT-B/16, against OpenOOD v1.5's sets.

    python -m adapt_jax.zero_shot --config=configs/cifar10_adaneg.py --workdir=runs/cifar10-adaneg

The settings of YBZh/OpenOOD-VLM's CIFAR scripts: all of the corpus as negatives, in one group, 32
images at a time, memory 30, beta 1, score adaptive + static. As committed those scripts stop with
an error (they ask for a score "sum" that there is not) and sweep the threshold from 1e-5 to 1e-2:
this is the middle of that. Images: `python -m adapt_jax.data download openood_cifar10`.

163,000 images through ViT-B/16 at 224 pixels. The memory of 70,000 classes takes 4.2 GB of the
device, and every batch is compared with all that is in it: needs a GPU or TPU.

Reported: nothing for AdaNeg under this protocol. OpenOOD-VLM's log of MCM ("a photo of a {}.",
temperature 1 on scaled cosines), FPR95 (OOD positive) / AUROC: near 30.86 / 91.92, far 17.99 /
95.54, accuracy 90.09. Ours: not yet run on real weights.
"""

from adapt_jax.config.zero_shot import default_config

ADAPTIVE_GAP = (
    "adaptive_gap=True&proxy=sample&groups=1&memory_length=30&threshold=0.001&gap=0.0&beta=1.0"
)


def get_config(suite: str = "openood_cifar10"):
    config = default_config()
    config.class_names = "cifar10"
    config.ood = suite
    config.prompts.preset = "openood_vlm"
    config.corpus.without_labels = True
    config.negatives.convention = "openood_vlm"
    config.negatives.count = 70_000
    config.preprocess.variant = "openai"
    config.detectors = f"mcm?logit_scale=100,neglabel?groups=1,adaneg?{ADAPTIVE_GAP}"
    config.stream.batch_size = 32
    return config
