"""Metrics of score arrays, tests of their differences, and decisions with a guarantee.

`ood` has the metrics of ID against OOD scores, `selective` those of selective classification,
`comparison` says which differences are real, `conformal` turns scores into p-values. All of it is
float64 NumPy on the host.
"""

from adapt_jax.metrics.ood import COLUMNS, ood_metrics

__all__ = ["COLUMNS", "ood_metrics"]
