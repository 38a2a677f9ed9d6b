"""CIDER on images that ship inside scikit-learn: no download, no accelerator.

    python -m adapt_jax.train --config=configs/digits_cider.py --workdir=runs/digits_cider

Data, network, optimiser and augmentation are those of digits_adapt.py; only the method differs.
The hyper-parameters are those of CIDER's CIFAR-10 script (few classes).
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "digits_adapt.py", method="cider")
    config.method.params.weight = 2.0
    config.method.params.proto_momentum = 0.95
    return config
