"""What a seed gives in the process this runs in, as JSON; `test_generator` starts it."""

import json

import jax

from adapt_jax.core import generator

if __name__ == "__main__":
    generator.fix_settings()
    key = generator.key(4294967295)
    drawn = jax.random.normal(jax.random.fold_in(key, 3), (4,))
    back = generator.from_data(jax.random.key_data(key))
    print(json.dumps([str(drawn.dtype), drawn.tolist(), bool((key == back).all())]))
