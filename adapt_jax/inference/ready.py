"""What `adapt_jax.load` returns: all that a new image needs, whatever network is behind it."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.core.image_files import opened
from adapt_jax.data import decode, given
from adapt_jax.data.given import Images
from adapt_jax.detectors import Outputs
from adapt_jax.inference.calibrated import CalibratedDetector
from adapt_jax.inference.live_stream import Stream
from adapt_jax.inference.outputs import joined

BLOCK = 256  # images scored together


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
    """A network and a calibrated detector.

    `embed`, `score` and `decide` take images as they are, see `data.given.blocks`: one or several
    paths, PIL images or uint8 arrays of any size, treated as `python -m adapt_jax.predict` treats
    files.

    facts: what the run says of its images, "class_names" where its classes have names.
    size: side of the squares the network takes.
    cut: an opened image -> (size, size, 3) uint8, the one place that says how images are prepared.
    outputs: images (N, size, size, 3) uint8, cut already -> what detectors score; N is any number.
    detector: fitted and calibrated.
    threshold: scores from there on are in-distribution; it keeps the share `tpr` of held-out ID
    images, unless it has the conformal level `alpha`.
    """

    facts: Mapping[str, Any]
    size: int
    cut: Callable[[Image.Image], np.ndarray]
    outputs: Callable[[np.ndarray], Outputs]
    detector: CalibratedDetector
    threshold: float
    tpr: float
    alpha: float | None = None

    def stream(self, folder: str | os.PathLike) -> Stream:
        """Opens the stream of images in a folder.

        Raises:
          InputError: the detector does not adapt to a stream.
        """
        raise InputError(
            f"{self.detector.spec.text} does not adapt to the images it sees; streams are for "
            "zero-shot runs with adaneg or tanl"
        )

    def read(self, path: str | os.PathLike) -> np.ndarray:
        """An image file, cut: (size, size, 3) uint8.

        Raises:
          InputError: it cannot be used; it is named.
        """
        return decode.made(opened, path, str(path), self.cut)

    def embed(self, images: Images) -> Outputs:
        """What the network says about N images: features (N, D), logits (N, C) or None.

        Raises:
          InputError: an image cannot be used; it is named.
        """
        return joined([self.outputs(b) for b in given.blocks(images, self.size, self.cut)])

    def score(self, images: Images) -> np.ndarray:
        """Scores (N,) float32 of N images; larger means more in-distribution. Raises as `embed`."""
        return self.detector.score(self.embed(images))

    def decide(self, images: Images) -> np.ndarray:
        """Whether each of N images is in-distribution: (N,) bool. Raises as `embed`."""
        return self.score(images) >= self.threshold
