"""Reading files of PyTorch tensors: `.npz`, `.safetensors` and, where asked to, checkpoints."""

import pathlib
import re
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from adapt_jax.core import npz
from adapt_jax.core.errors import InputError
from adapt_jax.core.stand_ins import refuse_stand_in
from adapt_jax.core.tensor_files import read_safetensors
from adapt_jax.models import torch_files

_PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pkl", ".tar")


def read(
    path: str, *, allow_pickle: bool = False, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, np.ndarray]:
    """The tensors of a weights file by name, in the file's own layouts and dtypes.

    Args:
      path: path of an `.npz` or `.safetensors` file.
      allow_pickle: whether to read PyTorch's own checkpoints, too, as `torch_files.read` does.
      wanted: function of a tensor's name that says whether it is read.

    Raises:
      InputError: no such file, a pickle without `allow_pickle` (the message has both ways out) or
        with more than tensors in it, another kind of file, a damaged one, a Git LFS pointer or a
        web page in its place, or a tensor that is not numeric or not finite.
    """
    file = pathlib.Path(path).expanduser()
    kind = re.sub(r"-\d+$", "", file.suffix.lower())  # Dassl: model.pth.tar-50
    refuse_stand_in(file)
    if kind in _PICKLES and not allow_pickle:
        target = file.with_suffix(".npz").name
        raise InputError(
            f"{path} is a pickle, which can run code when loaded, so it is not by default; either "
            'convert it once, where PyTorch is installed: python -c "import numpy, torch; '
            f"s = torch.load('{file.name}', map_location='cpu', weights_only=True); "
            f"numpy.savez('{target}', **s.get('model', s))\"; or let its tensors alone be read, "
            "without running anything, with --config.model.allow_pickle=true"
        )
    if kind not in (".npz", ".safetensors", *_PICKLES):
        raise InputError(f"{path} is not a weights file we read; give a .npz or .safetensors file")
    if not file.is_file():
        raise InputError(f"the weights file {path} does not exist; give the path of one that does")
    if kind in _PICKLES:
        state = torch_files.read(file, wanted)
    else:
        state = _npz(file) if kind == ".npz" else read_safetensors(file)
        state = {name: state[name] for name in state if wanted(name)}
    for name, value in state.items():
        if not jnp.issubdtype(value.dtype, jnp.number):
            raise InputError(f"{path}: tensor {name} is not numeric ({value.dtype})")
        if not np.isfinite(np.asarray(value, np.float64)).all():
            raise InputError(f"{path}: tensor {name} holds NaN or infinity; the file is damaged")
    return state


def _npz(file: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        return npz.read(file)
    except (OSError, InputError) as e:
        raise InputError(f"{file} cannot be read as .npz ({e}); write it again") from None
