"""Job: from a checkpoint, or features, to result rows."""

from adapt_jax.core.callable_module import make_callable

make_callable(__name__, "adapt_jax.evaluate.job:evaluate_run")
