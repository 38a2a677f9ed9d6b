"""ReweightOOD on ImageNet-1k: a pretrained ResNet-50, of which layer4 and a new head train.

    python -m adapt_jax.train --config=configs/imagenet_reweightood.py --workdir=runs/in1k

The official recipe (sudarshanregmi/ReweightOOD): 30 epochs, a global batch of 512 images x 2 views.
It starts from pytorch/vision's IMAGENET1K_V1 weights. Fetch resnet50-0676ba61.pth from
https://download.pytorch.org/models and convert it once, where PyTorch is installed:

    python -c "import numpy, torch; s = torch.load('resnet50-0676ba61.pth', weights_only=True);
               numpy.savez('data/resnet50_imagenet1k_v1.npz', **s)"

Images as for imagenet200_reweightood.py: 1.28 million of them, an hour of one CPU core an epoch.
Needs GPUs or TPUs, and a machine with many cores to decode for them.

Differs from the official code: the frozen layers' batch normalisation is frozen too
(--config.model.frozen_batch_norm=False lets its statistics drift, as there); and as described in
imagenet200_reweightood.py. There is no warm-up: theirs starts above the rate it climbs to.
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "imagenet200_reweightood.py", method="reweightood")
    for field in ("train_data", "test_data"):
        config[field] = config[field].replace("imagenet200", "imagenet")
    config.epochs = 30
    config.model.name = "resnet50"
    config.model.pretrained = "data/resnet50_imagenet1k_v1.npz"
    config.model.trainable = "layer4,head"
    config.optimizer.learning_rate = 0.001
    config.optimizer.warmup_epochs = 0
    return config
