"""A cache of compiled programs on disk, so that the second start of a job takes seconds."""

import functools
import threading
import time
from typing import Any, NamedTuple

import jax

from adapt_jax.core.files import cache_folder

_HIT = "/jax/compilation_cache/cache_hits"
_NAMES = "jax_compilation_cache_include_metadata_in_key"
_seen = threading.local()  # `hits`: what a thread that compiles has been told of


def use_cache() -> None:
    """Turns the persistent cache on, unless JAX_COMPILATION_CACHE_DIR already says where it is.

    It lives in the folder `xla` of the package's cache directory; deleting it is always safe.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


class Timing(NamedTuple):
    """How long compiling took, and whether the program came from the cache."""

    seconds: float
    cached: bool


def timed(lowered: jax.stages.Lowered, *, names: bool = False) -> tuple[Any, Timing]:
    """`lowered.compile()`, and what it took.

    Args:
      lowered: the program to compile.
      names: whether the names of its operations matter. By default the cache ignores them, and may
        return a program with the names of an older source; with `names` it compares them.
    """
    hits = _cache_hits()
    hits.clear()
    before = getattr(jax.config, _NAMES)
    jax.config.update(_NAMES, names or before)
    began = time.perf_counter()
    try:
        program = lowered.compile()
    finally:
        jax.config.update(_NAMES, before)
    return program, Timing(time.perf_counter() - began, bool(hits))


def _cache_hits() -> list[str]:
    """Hits of the compilation cache in the calling thread, which grow while it compiles."""
    _listen()
    if not hasattr(_seen, "hits"):
        _seen.hits = []
    return _seen.hits


@functools.cache
def _listen() -> None:
    """Starts to note cache hits, once per process: not every version of JAX can stop again."""

    def note(event: str, **_) -> None:
        if event == _HIT and hasattr(_seen, "hits"):
            _seen.hits.append(event)

    jax.monitoring.register_event_listener(note)
