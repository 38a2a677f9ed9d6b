"""Tables over runs: `python -m adapt_jax.results merge RUN...`, see `adapt_jax.results.merge`."""

from adapt_jax.results import merge

merge.main()
