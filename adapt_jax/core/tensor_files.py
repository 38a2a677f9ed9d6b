"""Reading .safetensors files."""

import os

import numpy as np
import safetensors
import safetensors.numpy

from adapt_jax.core.errors import InputError


def read_safetensors(
    path: str | os.PathLike, remedy: str = "write it again"
) -> dict[str, np.ndarray]:
    """The tensors of a file by name.

    Args:
      path: the file.
      remedy: what to do if it cannot be read, for the error message.

    Raises:
      InputError: it is missing or damaged.
    """
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, KeyError, ValueError, TypeError, safetensors.SafetensorError) as e:
        raise InputError(f"{path} cannot be read as .safetensors ({e}); {remedy}") from None
