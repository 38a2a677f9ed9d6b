"""Eight CPU devices for every test, no silent broadcasting, caches that are the tests' own.

Most tests run a program once, and compiling it is most of their time. So programs are compiled
without LLVM's optimisations, in one piece, and by XLA's older emitters where there still are any:
a third of the time, and the same numbers up to rounding. What XLA_FLAGS names already stays. This
compiles as users' programs are compiled:

    XLA_FLAGS="--xla_backend_optimization_level=3 --xla_cpu_use_fusion_emitters=true"
"""

import atexit
import gc
import os
import pathlib
from importlib import metadata

_QUICK = {"--xla_backend_optimization_level": "0", "--xla_cpu_parallel_codegen_split_count": "1"}
if [int(number) for number in metadata.version("jaxlib").split(".")[:2]] < [0, 11]:
    _QUICK["--xla_cpu_use_fusion_emitters"] = "false"  # later versions know no such flag, and abort
_given = os.environ.get("XLA_FLAGS", "")
_chosen = (f"{flag}={value}" for flag, value in _QUICK.items() if flag not in _given)
os.environ["XLA_FLAGS"] = " ".join((_given, *_chosen)).strip()  # before JAX; processes inherit it

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from adapt_jax.core.arrays import float64  # noqa: E402

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

GOLDEN = pathlib.Path(__file__).parent / "golden"


def pytest_collection_finish():
    """What was imported stays: the garbage collector need not go through it again and again."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # tracing makes many objects that live on


def pytest_sessionfinish(session):
    """Leaves out a last garbage collection, and ends a worker of xdist without tearing it down."""
    gc.freeze()
    if hasattr(session.config, "workerinput"):
        atexit.register(os._exit, 0)  # before JAX's, which takes seconds to clear its caches


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory, pytestconfig):
    """Decoded images of one test run; compiled programs, which .pytest_cache keeps for the next.

    Child processes share them, but have a folder for programs that is not kept: tests kill some of
    them, and JAX does not replace a file that was half written. `--cache-clear` begins anew.
    """
    folder = tmp_path_factory.getbasetemp().parent / "adapt_jax_cache"
    os.environ["ADAPT_JAX_CACHE"] = str(folder)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "xla")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    kept = getattr(pytestconfig, "cache", None)  # None with -p no:cacheprovider
    programs = kept.mkdir("xla") if kept else folder / "xla"
    jax.config.update("jax_compilation_cache_dir", str(programs))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture(scope="session")
def golden():
    """Loads a recorded case by name: `golden("adapt_k0")["features"]`."""
    return lambda name: np.load(GOLDEN / f"{name}.npz")


@pytest.fixture
def x64():
    """Runs the test in double precision."""
    with float64():
        yield
