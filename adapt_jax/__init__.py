"""Out-of-distribution detection in JAX: ADAPT and its family, from a laptop to a TPU pod."""

__version__ = "0.1.0"
