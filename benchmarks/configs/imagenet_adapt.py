"""ADAPT with a ResNet-50 on ImageNet-1k at 224: the network and images for docs/scaling.md.

    python -m benchmarks.scaling --config=benchmarks/configs/imagenet_adapt.py \
        --num_classes=1000

No recipe: its authors publish none for ImageNet, and the images do not fit a device's memory (see
configs/imagenet_reweightood.py).
"""

from adapt_jax.config import default_config


def get_config():
    config = default_config("adapt")
    config.train_data = "folder:data/imagenet/train"
    config.test_data = "folder:data/imagenet/val"
    config.image_size = 224
    config.mean = (0.485, 0.456, 0.406)
    config.std = (0.229, 0.224, 0.225)
    config.batch_size = 512
    config.model.name = "resnet50"
    config.model.stem = "imagenet"
    return config
