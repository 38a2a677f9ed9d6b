"""`npz:FILE`, `mat:FILE`: images that are arrays already. Pickled objects are never loaded."""

import math
import os

import numpy as np

from adapt_jax.core import npz
from adapt_jax.core.errors import InputError
from adapt_jax.data.base import Listing, Source, usable_labels
from adapt_jax.data.download import catalogue

EXPECTED = "expected uint8 (N, H, W) or (N, H, W, 3)"


def check_npz(source: Source) -> None:
    """Raises InputError unless the file exists."""
    if not os.path.isfile(os.path.expanduser(source.place)):
        raise InputError(f"{source.text!r}: there is no file {source.place}")


def open_npz(source: Source, image_size: int, cache_dir=None) -> Listing:
    """`images` uint8 (N, H, W[, 3]); optional `labels` (N,), `names` (N,), `class_names` (C,)."""
    data = _read(source)
    _refuse_other_axes(source, data)
    images = _images(source, data["images"])
    count = len(images)
    labels, flaw = None, "has no array `labels`"
    class_names = tuple(str(name) for name in data.get("class_names", np.array([])).ravel())
    if "labels" in data:
        labels = data["labels"]
        if labels.shape != (count,) or labels.dtype.kind not in "iu":
            raise InputError(
                f"{source.text!r}: `labels` is {labels.dtype} {labels.shape}; "
                f"expected whole numbers of shape ({count},), one per image"
            )
        labels, flaw = usable_labels(labels, class_names)
    if "names" in data:
        if data["names"].shape != (count,):
            raise InputError(
                f"{source.text!r}: `names` has shape {data['names'].shape}; "
                f"expected ({count},), one per image"
            )
        names = tuple(str(name) for name in data["names"])
    else:
        file = os.path.basename(source.place)  # wherever it lies: hashes of names compare
        names = tuple(f"{file}[{i}]" for i in range(count))
    return Listing(names, labels, class_names, images.__getitem__, flaw, pixels=images)


def check_mat(source: Source) -> None:
    """Raises InputError unless the file exists."""
    if not os.path.isfile(os.path.expanduser(source.place)):
        raise InputError(
            f"{source.text!r}: there is no file {source.place}{catalogue.hint(source.place)}"
        )


def open_mat(source: Source, image_size: int, cache_dir=None) -> Listing:
    """SVHN's cropped digits: X uint8 (H, W, 3, N), y (N, 1) from 1 to 10, 10 being the digit 0."""
    data = mat_variables(source, source.place, ("X", "y"))
    if missing := [name for name in ("X", "y") if name not in data]:
        raise InputError(f"{source.text!r}: there is no array {missing[0]!r}; expected X and y")
    if data["X"].ndim != 4:
        raise InputError(f"{source.text!r}: X has shape {data['X'].shape}, not (H, W, 3, N)")
    images = _images(source, data["X"].transpose(3, 0, 1, 2))
    labels = data["y"].ravel()
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.max() > 10:
        raise InputError(f"{source.text!r}: expected one y of 1 to 10 per image of X")
    labels, flaw = usable_labels(labels.astype(np.int64) % 10)
    digits = tuple("0123456789")
    name = os.path.basename(source.place)
    names = tuple(f"{name}[{i}]" for i in range(len(images)))
    return Listing(names, labels, digits, images.__getitem__, flaw, pixels=images)


def mat_variables(
    source: Source, place: str | os.PathLike, names: tuple[str, ...], *, squeeze: bool = False
) -> dict[str, np.ndarray]:
    """Variables of a .mat file, those of them that are there.

    Args:
      source: the source, for messages.
      place: path of the file.
      names: names of the variables.
      squeeze: whether axes of length 1 are left out.

    Raises:
      InputError: the file cannot be read, or a variable is too large for its size on disk.
    """
    from scipy.io import loadmat, whosmat  # slow to import

    try:
        path = os.path.expanduser(place)
        limit = max(npz.ALLOWANCE, npz.EXPANSION * os.path.getsize(path))
        for name, shape, _ in whosmat(path):
            if math.prod(shape) > limit:
                raise ValueError(f"{name} of shape {shape} would take more than {limit:,} bytes")
        return loadmat(path, variable_names=names, squeeze_me=squeeze)
    except Exception as error:
        # Like image decoders, loadmat raises whatever a broken file makes it stumble over.
        raise InputError(f"{source.text!r}: not a readable .mat file ({error})") from error


def _read(source: Source) -> dict[str, np.ndarray]:
    path = os.path.expanduser(source.place)
    try:
        arrays = npz.read(path, ("images", "labels", "names", "class_names"))
    except OSError as error:
        raise InputError(f"{source.text!r}: {error.strerror}") from error
    except InputError as error:
        raise InputError(
            f"{source.text!r}: not a readable .npz file of plain arrays ({error}); save one with "
            "np.savez"
        ) from error
    if "images" not in arrays:
        raise InputError(
            f"{source.text!r}: there is no array `images`; "
            f"the file has: {', '.join(npz.names(path)) or 'nothing'}"
        )
    return arrays


def _refuse_other_axes(source: Source, data: dict[str, np.ndarray]) -> None:
    """Raises InputError for three axes that may be one colour picture, or MATLAB's (H, W, N)."""
    shape = data["images"].shape
    if len(shape) != 3 or any(
        np.size(data[key]) == shape[0] for key in ("labels", "names") if key in data
    ):
        return
    if shape[2] in (3, 4) or shape[0] == 3:
        what, cure = "looks like one colour picture", "give N of them as (N, H, W, 3)"
    elif shape[0] == shape[1] != shape[2]:
        what, cure = "looks like (H, W, N)", "use images.transpose(2, 0, 1)"
    else:
        return
    raise InputError(
        f"{source.text!r}: `images` of shape {shape} {what}; {cure}, or add names, one per image"
    )


def _images(source: Source, images: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8."""
    have = f"{source.text!r}: `images` is {images.dtype} {images.shape}"
    if images.dtype != np.uint8:
        hint = "; scale to 0..255, round and convert" if images.dtype.kind == "f" else ""
        raise InputError(f"{have}; {EXPECTED}{hint}")
    if images.ndim == 4 and images.shape[1] == 3 and images.shape[3] != 3:
        raise InputError(
            f"{have}; {EXPECTED}: channels come last, use images.transpose(0, 2, 3, 1)"
        )
    if images.ndim == 3:
        images = images[:, :, :, None]
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise InputError(f"{have}; {EXPECTED}")
    if not images.size:
        raise InputError(f"{have}: there is no image in it")
    return np.ascontiguousarray(np.broadcast_to(images, (*images.shape[:3], 3)))
