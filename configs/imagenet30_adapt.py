"""ADAPT on ImageNet-30: imagenet100_adapt.py with other classes.

    python -m adapt_jax.train --config=configs/imagenet30_adapt.py --workdir=runs/in30_adapt

The 30 classes are those of hendrycks/ss-ood (one_class_train/symlink_to_data.py), which papers on
one-class and unlabelled detection use. No published run has this recipe. Needs GPUs or TPUs, and
many cores.
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "imagenet100_adapt.py", method="adapt")
    for field in ("train_data", "test_data"):
        config[field] = config[field].replace("imagenet100", "imagenet30")
    return config
