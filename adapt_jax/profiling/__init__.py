"""Traces of chosen steps with named phases, and one page with their cost.

Beside the trace lie summary.txt (the page), summary.json (the same), program.txt.gz (the compiled
program), memory.prof (device memory, for pprof); `python -m adapt_jax.profiling FOLDER` draws it.
"""

from adapt_jax.profiling.summary import Subject
from adapt_jax.profiling.trace import Trace, calls

__all__ = ["Subject", "Trace", "calls"]
