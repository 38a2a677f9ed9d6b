"""PALM on images that ship inside scikit-learn: no download, no accelerator.

    python -m adapt_jax.train --config=configs/digits_palm.py --workdir=runs/digits_palm

Data, network, optimiser and augmentation are those of digits_adapt.py; only the method differs.
"""

from adapt_jax.config import inherit


def get_config():
    return inherit(__file__, "digits_adapt.py", method="palm")
