"""Importing a checkout of a PyTorch repository as it is, on a machine without a GPU.

Nothing in the checkout is changed or written: what it imports and does not need here is replaced
by a stub, and calls that move arrays to a GPU do nothing.
"""

import contextlib
import io
import pathlib
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator, Sequence
from unittest import mock


def enter(repo: str, *, stubs: Sequence[str] = (), bare: Sequence[str] = ()) -> None:
    """Puts a checkout first on the import path; for one checkout per process.

    Args:
      repo: path of the checkout.
      stubs: modules that stand for what its files import and do not need here.
      bare: packages of the checkout whose `__init__` is left out, because it imports every file.

    Raises:
      SystemExit: there is no such folder.
    """
    root = pathlib.Path(repo).resolve()
    if not root.is_dir():
        raise SystemExit(f"{repo} is no folder; give a checkout of the official repository")
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(root))
    for name in stubs:
        sys.modules[name] = mock.MagicMock(__spec__=None)
    for name in bare:
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules[name] = package


def commit(repo: str) -> str:
    """The commit of a checkout, "unknown" where git does not say."""
    command = ["git", "-C", repo, "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


@contextlib.contextmanager
def called_with(arguments: Sequence[str], folder: str) -> Iterator[None]:
    """Lets a script see these command-line arguments, and write into `folder`."""
    with mock.patch.object(sys, "argv", ["script.py", *arguments]), contextlib.chdir(folder):
        yield


@contextlib.contextmanager
def on_cpu(*, double: bool) -> Iterator[None]:
    """Answers every request for a GPU with the CPU, and with `double` float32 with float64.

    What the programs print and warn of meanwhile is dropped.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    def instead(value):
        if isinstance(value, (str, torch.device)) and str(value).startswith("cuda"):
            return "cpu"
        return torch.float64 if double and value is torch.float32 else value

    class OnCpu(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is torch.Tensor.cuda:
                return args[0]
            if function is torch.Tensor.float and double:
                return args[0].double()
            named = {k: instead(v) for k, v in (kwargs or {}).items()}
            return function(*map(instead, args), **named)

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    try:
        with (
            OnCpu(),
            mock.patch.object(torch.cuda, "set_device"),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(action="ignore"),
        ):
            yield
    finally:
        torch.set_default_dtype(before)
