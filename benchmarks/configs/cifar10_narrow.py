"""One narrow network and one short recipe for every method, on CIFAR-10. Variant = method.

    CONFIG=benchmarks/configs/cifar10_narrow.py
    python -m adapt_jax.compare --configs=$CONFIG:adapt,$CONFIG:palm --seeds=0,1,2 --workdir=DIR \
        --set=train_data=npz:TRAIN.npz --set=test_data=npz:TEST.npz --set=ood=near/NAME=...,far/...

Minutes a run on two CPU cores. It shows that everything works and in which direction; it
is far too short to rank the methods as their papers do.
"""

from adapt_jax.config import default_config

# Hyper-parameters that the authors give for CIFAR-10 and that are not the defaults.
PARAMS = {
    "cider": {"proto_momentum": 0.95, "weight": 2.0},
    "ccl": {"num_clusters": 10, "warmup_epochs": 3},
}


def get_config(variant="adapt"):
    method = {"untrained": "adapt", "simclr": "supcon"}.get(variant, variant)
    config = default_config(method)
    for name, value in PARAMS.get(variant, {}).items():
        config.method.params[name] = value
    if variant == "simclr":
        config.method.params.use_labels = False
    config.train_data = "tfds:cifar10:train[:20%]"
    config.test_data = "tfds:cifar10:test"
    config.ood = "tfds_cifar10"
    config.batch_size = 128
    config.epochs = 0 if variant == "untrained" else 6
    config.model.width = 8
    config.model.blocks = (1, 1, 1, 1)
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 1e-4
    config.optimizer.warmup_epochs = 0.6
    config.detectors = "mahalanobis,knn?k=60"
    config.checkpoint_every = 316
    config.log_every = 79
    config.report = False
    return config
