"""Cross-entropy on images that ship inside scikit-learn: no download, no accelerator.

    python -m adapt_jax.train --config=configs/digits_cross_entropy.py --workdir=runs/digits_ce

Data, network, optimiser and augmentation are those of digits_adapt.py; only the method differs.
The classifier sees both views of each image, so that all methods see as many.
"""

from adapt_jax.config import inherit


def get_config():
    return inherit(__file__, "digits_adapt.py", method="cross_entropy")
