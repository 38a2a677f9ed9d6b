"""ADAPT on CIFAR-100 with ResNet-34: the official recipe (JINHYUKSUH/ADAPT).

    python -m adapt_jax.train --config=configs/cifar100_adapt.py --workdir=runs/cifar100_adapt

500 epochs of 98 steps, 512 images x 2 views each. Needs one GPU or TPU. TFDS downloads the data.
For the learning rates exactly as the official script executes them (full rate at step 0, zero at
step 1): --config.optimizer.schedule=adapt_as_executed
"""

from adapt_jax.config import default_config


def get_config():
    config = default_config("adapt")
    config.train_data = "tfds:cifar100:train"
    config.test_data = "tfds:cifar100:test"
    config.ood = "tfds_cifar100"
    config.mean = (0.5071, 0.4867, 0.4408)
    config.std = (0.2675, 0.2565, 0.2761)
    config.model.name = "resnet34"
    config.detectors = "mahalanobis,knn?k=300"
    config.checkpoint_every = 980
    config.log_every = 98
    return config
