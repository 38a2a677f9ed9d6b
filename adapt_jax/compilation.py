"""Compiled programs are kept between runs: the second start of a job takes seconds."""

import jax

from adapt_jax.data import cache


def use_cache() -> None:
    """Turns the persistent cache on, unless JAX_COMPILATION_CACHE_DIR already says where it is.

    It lives in the folder `xla` of the package's cache directory; deleting it is always safe.
    """
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache.directory() / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
