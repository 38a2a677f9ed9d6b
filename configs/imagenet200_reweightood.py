"""ReweightOOD on ImageNet-200 with ResNet-18: the official recipe (sudarshanregmi/ReweightOOD).

    python -m adapt_jax.train --config=configs/imagenet200_reweightood.py --workdir=runs/in200

90 epochs, a global batch of 512 images x 2 views. Images as Jingkang50/OpenOOD's download script
lays them out: lists in data/benchmark_imglist, images in data/images_largescale and (Textures)
data/images_classic, below the working directory. The 260,000 training images, or so, stay files,
which worker processes decode (docs/data.md, "Sets that do not fit"): 12 minutes of one CPU core an
epoch, so a fast GPU wants several. As in the official code, crops come from the whole image, and
images are reduced to 256 and cut to 224 in evaluation.

Differs from the official code: the last state is evaluated (--config.eval_checkpoint=best); no rate
is negative (--config.optimizer.schedule=reweightood_as_executed for its rates as executed). On n
GPUs it computes one loss per GPU of 512 images; here one loss covers the whole batch on any number.
"""

from adapt_jax.config import default_config

LISTS, IMAGES = "data/benchmark_imglist", "data/images_largescale"
CUT = "&resize=256"


def get_config():
    config = default_config("reweightood")
    config.train_data = f"list:{LISTS}/imagenet200/train_imagenet200.txt?root={IMAGES}{CUT}"
    config.test_data = f"list:{LISTS}/imagenet200/test_imagenet200.txt?root={IMAGES}{CUT}"
    config.ood = (
        f"near/ssb_hard=list:{LISTS}/imagenet/test_ssb_hard.txt?root={IMAGES}{CUT},"
        f"near/ninco=list:{LISTS}/imagenet/test_ninco.txt?root={IMAGES}{CUT},"
        f"far/inaturalist=list:{LISTS}/imagenet/test_inaturalist.txt?root={IMAGES}{CUT},"
        f"far/textures=list:{LISTS}/imagenet/test_textures.txt?root=data/images_classic{CUT},"
        f"far/openimage_o=list:{LISTS}/imagenet/test_openimage_o.txt?root={IMAGES}{CUT}"
    )
    config.image_size = 224
    config.input = "host"
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
