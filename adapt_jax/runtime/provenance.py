"""Software versions, device and memory behind a result."""

import functools
import importlib.metadata
import platform
import resource
import subprocess
import sys
from pathlib import Path

import jax

from adapt_jax.core.version import __version__

PACKAGE = Path(__file__).resolve().parents[1]


def versions() -> dict[str, str]:
    """Versions of the libraries that decide the numbers, and the kind of device."""
    return {
        **{name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "numpy")},
        "adapt_jax": __version__,
        "python": platform.python_version(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    }


def host_peak_bytes() -> int:
    """The most memory that this process has held on the host so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@functools.cache
def commit() -> str:
    """The git commit of the package's own checkout; "" when it is not one."""
    root = PACKAGE.parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), "rev-parse", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        # Installed into an environment that lies inside some other repository, it has none.
        return git("--verify", "HEAD") if Path(git("--show-toplevel")).resolve() == root else ""
    except (OSError, subprocess.SubprocessError):
        return ""
