"""Random numbers: one generator, fixed by name, so that a seed means the same everywhere.

JAX's default generator and its precision can be set from outside (JAX_DEFAULT_PRNG_IMPL,
JAX_THREEFRY_PARTITIONABLE, JAX_ENABLE_X64; some TPU images set the first), and all three change the
numbers that a seed gives.
"""

import jax

NAME = "threefry2x32"
SEEDS = 2**32
"""Seeds lie in 0..SEEDS - 1: JAX takes the others for one of these."""


def key(seed: int) -> jax.Array:
    """The key of a seed, whatever JAX's default generator is."""
    return jax.random.key(seed, impl=NAME)


def from_data(data: jax.Array) -> jax.Array:
    """The key whose `jax.random.key_data` this is."""
    return jax.random.wrap_key_data(data, impl=NAME)


def fix_settings() -> None:
    """Gives JAX the settings of every command, whatever the environment says.

    Single precision is among them; `use_double_precision` is for configs that ask for it.
    """
    if hasattr(jax.config, "jax_threefry_partitionable"):  # one day it is the only way
        jax.config.update("jax_threefry_partitionable", True)
    jax.config.update("jax_enable_x64", False)


def use_double_precision() -> None:
    """Lets arrays be float64."""
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        jax.config.update("jax_enable_x64", True)


def settings() -> dict[str, str | bool]:
    """What decides the numbers a seed gives, for records."""
    return {
        "generator": NAME,
        "partitionable": bool(getattr(jax.config, "jax_threefry_partitionable", True)),
        "x64": bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
    }
