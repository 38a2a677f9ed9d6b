"""CIDER on ImageNet-100: a pretrained ResNet-34, of which layer4 and a new head train.

    python -m adapt_jax.train --config=configs/imagenet100_cider.py --workdir=runs/in100_cider

The fine-tuning recipe of its script (deeplearning-wisc/cider, train_cider_imgnet100.sh at e5277a9):
20 epochs, 512 images x 2 views; the README's table says 10 epochs. The 100 classes are those of
deeplearning-wisc/MCM (data/ImageNet100/class_list.txt), to which that README refers. Needs GPUs or
TPUs, and a machine with many cores to decode for them.

Images: ImageNet in data/images_largescale/imagenet_1k, train and val with a folder per class; OOD
sets by `python -m adapt_jax.data download mos_inaturalist mos_sun mos_places dtd`. It starts from
torchvision's weights; once, where torchvision is installed:

    python -c "import numpy, torchvision; m = torchvision.models.resnet34(weights='IMAGENET1K_V1');
               numpy.savez('data/resnet34_imagenet1k_v1.npz', **m.state_dict())"

Differs from the official code: the frozen layers' batch normalisation is frozen too. For its rates:
--config.optimizer.schedule=cider_as_executed
"""

from adapt_jax.config import default_config


def get_config():
    config = default_config("cider")
    config.method.params.weight = 2.0
    config.method.params.proto_momentum = 0.95
    config.train_data = "folder:data/images_largescale/imagenet_1k/train?only=imagenet100"
    config.test_data = "folder:data/images_largescale/imagenet_1k/val?only=imagenet100"
    config.ood = (
        "ood/inaturalist=folder:data/mos/iNaturalist,ood/sun=folder:data/mos/SUN,"
        "ood/places=folder:data/mos/Places,ood/textures=folder:data/classic/dtd/images"
    )
    config.image_size = 224
    config.input = "host"
    config.mean = (0.485, 0.456, 0.406)
    config.std = (0.229, 0.224, 0.225)
    config.epochs = 20
    config.model.name = "resnet34"
    config.model.stem = "imagenet"
    config.model.pretrained = "data/resnet34_imagenet1k_v1.npz"
    config.model.trainable = "layer4,head"
    config.optimizer.learning_rate = 0.005
    config.optimizer.weight_decay = 1e-4
    config.augment.crop_scale = (0.4, 1.0)
    config.detectors = "mahalanobis,knn?k=300"
    return config
