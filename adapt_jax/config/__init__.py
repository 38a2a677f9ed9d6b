"""What a run's configuration is: fields, defaults, checks and differences."""

from adapt_jax.config.defaults import completed, default_config, inherit

__all__ = ["completed", "default_config", "inherit"]
