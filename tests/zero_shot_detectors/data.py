"""Synthetic embeddings."""

import numpy as np

from adapt_jax.zero_shot_detectors import TextBank

# Hyper-parameters that suit a bank of a dozen negatives.
SMALL = {
    "mcm": {},
    "neglabel": {"groups": 4},
    "csp": {"groups": 4},
    "adaneg": {"groups": 4},
    "tanl": {"without_noise": True},
}
ADAPTIVE = ("adaneg", "tanl")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def bank(rng, labels=5, negatives=13, width=16):
    rows = unit(rng.normal(size=(labels + negatives, width)).astype(np.float32))
    return TextBank(rows[:labels], rows[labels:])


def images(rng, texts, count, noise=0.5):
    """Images around a few classes, so that memories fill up."""
    rows = np.concatenate(texts)
    which = rng.integers(0, len(rows), count) // 3 * 3
    return unit(rows[which] + noise * unit(rng.normal(size=(count, rows.shape[1]))))
