"""ReweightOOD on ImageNet-200 with ResNet-18: the official recipe (sudarshanregmi/ReweightOOD).

    python -m adapt_jax.train --config=configs/imagenet200_reweightood.py --workdir=runs/in200

90 epochs, a global batch of 512 images x 2 views. Images as Jingkang50/OpenOOD's download script
lays them out: lists in data/benchmark_imglist, images in data/images_largescale and (Textures)
data/images_classic, below the working directory. The training set stays in the memory of every
device: some 260,000 images of 224 x 224, 39 GB as uint8. Needs GPUs of 80 GB, or TPUs with as much.

Differs from the official code: images are reduced to 224 (shorter side) and centre-cropped before
any augmentation, and in evaluation (there: 256, then a crop of 224); the last state is evaluated
(--config.eval_checkpoint=best); no rate is negative
(--config.optimizer.schedule=reweightood_as_executed for its rates as executed). On n GPUs it
computes one loss per GPU of 512 images; here one loss covers the whole batch on any number.
"""

from adapt_jax.config import default_config

LISTS, IMAGES = "data/benchmark_imglist", "data/images_largescale"


def get_config():
    config = default_config("reweightood")
    config.train_data = f"list:{LISTS}/imagenet200/train_imagenet200.txt?root={IMAGES}"
    config.test_data = f"list:{LISTS}/imagenet200/test_imagenet200.txt?root={IMAGES}"
    config.ood = (
        f"near/ssb_hard=list:{LISTS}/imagenet/test_ssb_hard.txt?root={IMAGES},"
        f"near/ninco=list:{LISTS}/imagenet/test_ninco.txt?root={IMAGES},"
        f"far/inaturalist=list:{LISTS}/imagenet/test_inaturalist.txt?root={IMAGES},"
        f"far/textures=list:{LISTS}/imagenet/test_textures.txt?root=data/images_classic,"
        f"far/openimage_o=list:{LISTS}/imagenet/test_openimage_o.txt?root={IMAGES}"
    )
    config.image_size = 224
    config.mean = (0.485, 0.456, 0.406)
    config.std = (0.229, 0.224, 0.225)
    config.batch_size = 512
    config.epochs = 90
    config.model.name = "resnet18"
    config.model.stem = "imagenet"
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 1e-4
    config.augment.crop_scale = (0.4, 1.0)
    config.detectors = "mahalanobis?covariance=within,knn?k=50"
    config.checkpoint_every = 1000
    config.log_every = 100
    return config
