"""ADAPT on images that ship inside scikit-learn: no download, no accelerator. `make demo` runs it.

    python -m adapt_jax.train --config=configs/digits_adapt.py --workdir=runs/demo

Digits 0-5 are in-distribution, digits 6-9 near-OOD; patches of two photographs, in grey and in
colour, are far-OOD. The same program as configs/cifar100_adapt.py with a smaller network.
"""

from adapt_jax.config import default_config


def get_config():
    config = default_config("adapt")
    config.train_data = "digits:train?classes=0-5"
    config.test_data = "digits:test?classes=0-5"
    config.ood = (
        "near/digits6-9=digits?classes=6-9,far/grey_photos=photos:grey,far/photos=photos:colour"
    )
    config.image_size = 8
    config.batch_size = 128
    config.epochs = 40
    config.model.width = 16
    config.optimizer.learning_rate = 0.1
    config.augment.flip = 0.0  # a mirrored digit is another shape
    config.augment.crop_scale = (0.5, 1.0)
    config.detectors = "mahalanobis,knn?k=5"  # k 5 of 724 images, as 300 of CIFAR's 50,000
    config.checkpoint_every = 100
    config.log_every = 20
    config.eval_batch_size = 256
    return config
