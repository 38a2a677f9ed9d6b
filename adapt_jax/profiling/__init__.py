"""Traces of chosen steps with our phases named, and one page that says what they cost."""

from adapt_jax.profiling.summary import Subject
from adapt_jax.profiling.trace import Trace, calls, steps_range

__all__ = ["Subject", "Trace", "calls", "steps_range"]
