"""Config files, by path or by the name of one that comes with the package."""

import difflib
import os
import pathlib
import runpy

from ml_collections import ConfigDict

from adapt_jax.core.errors import InputError

_PACKAGE = pathlib.Path(__file__).parents[1]


def load_config(argument: str) -> ConfigDict:
    """The config of a file, or of a name such as "cifar10_adapt", wherever the program runs.

    Args:
      argument: name of the config: FILE.py or NAME; or FILE.py:ARGUMENT, NAME:ARGUMENT for configs
        that take one.

    Raises:
      InputError: there is no such file and no such name, or the file fails.
    """
    path, colon, variant = located(argument).partition(":")
    try:
        return runpy.run_path(path)["get_config"](*([variant] if colon else []))
    except Exception as e:
        raise InputError(f"config file {path} failed with {type(e).__name__}: {e}") from e


def located(argument: str) -> str:
    """The same argument with the file's path in place of a name.

    Raises:
      InputError: there is no such file and no such name.
    """
    path, colon, variant = argument.partition(":")
    if os.path.isfile(path):
        return argument
    if path in names():
        return f"{folder() / path}.py{colon}{variant}"
    close = difflib.get_close_matches(pathlib.Path(path).stem, names(), n=1)
    raise InputError(
        f"config file {path} does not exist; --config takes a file, or the name of one that comes "
        f"with the package{f' (did you mean {close[0]}?)' if close else ''}: {', '.join(names())}"
    )


def folder() -> pathlib.Path:
    """Where the package's own are: inside it once installed, beside it in the repository."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.with_name("configs")


def names() -> tuple[str, ...]:
    """Every config that comes with the package."""
    return tuple(sorted(path.stem for path in folder().glob("*.py")))
