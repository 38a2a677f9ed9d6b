"""CCL on images that ship inside scikit-learn, without labels: no download, no accelerator.

    python -m adapt_jax.train --config=configs/digits_ccl.py --workdir=runs/digits_ccl

Data, network, optimiser and augmentation are those of digits_adapt.py; only the method differs. Its
share of warm-up is that of docs/ccl.md. Twelve clusters for six digits: writers differ, too.
"""

from adapt_jax.config import inherit


def get_config():
    config = inherit(__file__, "digits_adapt.py", method="ccl")
    config.method.params.num_clusters = 12
    config.method.params.warmup_epochs = 12
    config.detectors = "ssd,ssd?per_class=True,nearest_mean,knn?k=5"
    return config
