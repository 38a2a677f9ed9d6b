"""Why a zero-shot detector scored an image as it did: the words, and the images it remembers."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adapt_jax.inference.zero_shot_files import Text
from adapt_jax.zero_shot_detectors.base import Insight

# Embeddings (N, D) -> what is known of each image, None where it is not known.
Known = Callable[[np.ndarray], Sequence[dict[str, Any] | None]]


def explained(
    insight: Insight, state: Any, batch: np.ndarray, count: int, text: Text, known: Known, most: int
) -> list[dict[str, Any]]:
    """What decided the scores of a batch that was just seen.

    Args:
      insight: insight of the detector.
      state: state that the batch left.
      batch: (B, D) unit rows, padded.
      count: number of images among them.
      text: the bank, with the names of its rows.
      known: names the images that are remembered.
      most: number of words for each image.

    Returns:
      Of each image the `words` that weigh most, in order: `word`, `kind` ("label" or "negative"),
      `share` of the softmax over all words the detector uses, `cosine` of text and image; and where
      the detector keeps images, `images` it keeps for the word: `image`, its `number` in the
      stream, `cosine` with the image that was scored.
    """
    logits = np.asarray(jax.jit(insight.logits)(state, batch), np.float64)[:, :count]
    weights = np.exp(logits - logits.max(axis=0))
    shares = weights / weights.sum(axis=0)
    top = np.argsort(-shares, axis=0, kind="stable")[:most]
    stored = (
        None
        if insight.stored is None
        else np.asarray(insight.stored(state, jnp.asarray(top.T.ravel())))
    )
    bank = np.concatenate([np.asarray(rows) for rows in text.bank])
    names, labels = (*text.class_names, *text.negatives), len(text.class_names)

    def word(image: int, place: int) -> dict[str, Any]:
        row, c = batch[image], top[place, image]
        about = {
            "word": names[c],
            "kind": "label" if c < labels else "negative",
            "share": float(shares[c, image]),
            "cosine": float(bank[c] @ row),
        }
        if stored is None:
            return about
        kept = stored[image * len(top) + place]
        return about | {"images": _images(kept[kept.any(axis=1)], row, known)}

    return [{"words": [word(i, place) for place in range(len(top))]} for i in range(count)]


def _images(kept: np.ndarray, row: np.ndarray, known: Known) -> list[dict[str, Any]]:
    """The images that are kept for a word, the most similar one first."""
    cosines = kept @ row
    images = [(of or {}) | {"cosine": float(c)} for of, c in zip(known(kept), cosines)]
    keys = ("image", "number", "cosine")
    return [{k: images[i][k] for k in keys if k in images[i]} for i in np.argsort(-cosines)]
