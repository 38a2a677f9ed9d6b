"""ReweightOOD on ImageNet-1k: a pretrained ResNet-50, of which layer4 and a new head train.

    python -m adapt_jax.train --config=configs/imagenet_reweightood.py --workdir=runs/in1k

The official recipe (sudarshanregmi/ReweightOOD): 30 epochs, a global batch of 512 images x 2 views.
It starts from pytorch/vision's IMAGENET1K_V1 weights. Fetch resnet50-0676ba61.pth from
https://download.pytorch.org/models and convert it once, where PyTorch is installed:

    python -c "import numpy, torch; s = torch.load('resnet50-0676ba61.pth', weights_only=True);
               numpy.savez('data/resnet50_imagenet1k_v1.npz', **s)"

Images as for imagenet200_reweightood.py. The training set stays in the memory of every device, and
1.28 million images of 224 x 224 are 193 GB as uint8: more than a GPU or TPU has today. Until they
fit, take some of the classes in both sets: --config.train_data='list:...?classes=0-299&root=...'
(58 GB) and the same in test_data. Needs GPUs of 80 GB, or TPUs with as much.

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
