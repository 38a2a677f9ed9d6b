"""Embeddings of many images or texts: one batch size, few compilations, results on the host."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.clip import towers
from adapt_jax.clip.model import Model, check_ids
from adapt_jax.core.checks import positive_int

Put = Callable[[np.ndarray], jax.Array]
Get = Callable[[jax.Array], np.ndarray]
Progress = Callable[[int], None]
Profile = Callable[[Callable, Callable], Callable]
_ROUND = 8  # text lengths are rounded up to a multiple of this
_AHEAD = 2  # batches on the device while the host prepares the next


def encode_images(
    model: Model,
    images: np.ndarray | Iterable[np.ndarray],
    *,
    batch_size: int = 256,
    put: Put = jnp.asarray,
    get: Get = np.asarray,
    progress: Progress | None = None,
    profile: Profile | None = None,
) -> np.ndarray:
    """`model.encode_image` of any number of images.

    Args:
      model: the model, with its parameters on the devices; `model.placed(...)` copies them there.
      images: images (N, H, W, 3), uint8 or normalised floats, or an iterable of such arrays of any
        length.
      batch_size: number of images per call; the last batch is padded.
      put: function that moves a host batch to the devices, such as one that splits it over a mesh.
      get: function that moves the embeddings of a batch to the host.
      progress: function called with the number of images done so far, after every batch.
      profile: function (function, its version before compilation) -> the function to call instead,
        for profiling.

    Returns:
      (N, embed_dim) float32, in order, not normalised.
    """
    positive_int(batch_size=batch_size)
    encode = model.encode_image
    if profile is not None:
        encode = profile(encode, model.lowered_image)
    parts: Iterable = images
    if isinstance(images, np.ndarray | jax.Array):
        parts = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
    batches = _rebatched(parts, batch_size)
    return _run(model, encode, batches, batch_size, put, get, progress)


def encode_texts(
    model: Model,
    token_ids: np.ndarray,
    *,
    batch_size: int = 256,
    put: Put = jnp.asarray,
    get: Get = np.asarray,
    progress: Progress | None = None,
) -> np.ndarray:
    """`model.encode_text` of any number of texts, each batch cut to its longest text.

    Texts of similar length share a batch: 70,000 short prompts cost a fraction of those cut to 77.
    Where padding counts, as in SigLIP, nothing is cut.

    Args:
      model, batch_size, put, get, progress: arguments as in `encode_images`.
      token_ids: integers (N, L), L of any length if only padding lies beyond the context.

    Returns:
      (N, embed_dim) float32, in order, not normalised.

    Raises:
      InputError: an id outside the vocabulary, or a text longer than the context.
    """
    positive_int(batch_size=batch_size)
    token_ids = np.asarray(token_ids)
    check_ids(token_ids, model.architecture)
    tower = model.architecture.text
    lengths = towers.of(tower).lengths(tower, token_ids)
    order = np.argsort(lengths, kind="stable")

    def batches():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            longest = lengths[rows[-1]]
            rounded = min(-(-longest // _ROUND) * _ROUND, model.context_length)
            yield token_ids[rows, : max(rounded, longest)]

    done = _run(model, model.encode_text, batches(), batch_size, put, get, progress)
    result = np.empty_like(done)
    result[order] = done
    return result


def _run(model, encode, batches, batch_size, put, get, progress):
    results, pending, done = [], deque(), 0

    def finish():
        nonlocal done
        count, out = pending.popleft()
        results.append(np.asarray(get(out), np.float32)[:count])
        done += count
        if progress is not None:
            progress(done)

    for batch in batches:
        missing = batch_size - len(batch)
        padding = ((0, missing),) + ((0, 0),) * (batch.ndim - 1)
        padded = np.pad(batch, padding) if missing else batch
        pending.append((len(batch), encode(put(padded))))
        if len(pending) > _AHEAD:
            finish()
    while pending:
        finish()
    return np.concatenate(results) if results else np.zeros((0, model.embed_dim), np.float32)


def _rebatched(parts: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same rows in arrays of `size`, the last one shorter."""
    waiting, count = [], 0
    for part in parts:
        waiting.append(np.asarray(part))
        count += len(waiting[-1])
        while count >= size:
            rows = np.concatenate(waiting) if len(waiting) > 1 else waiting[0]
            yield rows[:size]
            waiting, count = [rows[size:]], count - size
    if count:
        yield np.concatenate(waiting)
