"""Augmentation: on the device in JAX, and random crops of whole images on the host."""

from adapt_jax.data.augment.device import make, make_apply, make_draw, make_normalize, mean_std

__all__ = ["make", "make_apply", "make_draw", "make_normalize", "mean_std"]
