"""Random resized crops from whole images, on the host, for training sets that stay files.

torchvision's RandomResizedCrop (bilinear, antialiased) with Pillow, V boxes of one decoded image.
A large JPEG is decoded at a half, a quarter or an eighth of its size where every box stays at least
`GAP` times as large as what becomes of it; others give torchvision's pixels exactly.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from adapt_jax.core import image_files
from adapt_jax.data import decode
from adapt_jax.data.augment import boxes

GAP = 2  # Pillow calls its own reductions that far from the result nearly fair
_TURNS = 2.0**-53


class Crops(NamedTuple):
    """How training images are cut; whatever is random follows from `key`, step and image.

    size: S of the squares. views: V of each image. scale, ratio: ranges of a box's area (fraction)
    and width / height. key: two uint32 words of the run's key.
    """

    size: int
    views: int
    scale: tuple[float, float]
    key: tuple[int, int]
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def boxes(self, step: int, index: int, height: int, width: int) -> np.ndarray:
        """The boxes (V, 4) that step `step` takes of image `index`: top, left, height, width."""
        words = np.random.Philox(
            key=np.array(self.key, np.uint64), counter=np.array([0, 0, step, index], np.uint64)
        )
        raw = words.random_raw(self.views * boxes.TRIES * 4)
        u = (raw >> np.uint64(11)) * _TURNS
        u = u.reshape(self.views, boxes.TRIES, 4)
        return boxes.draw(u, height, width, self.scale, self.ratio)

    def cut(
        self, image: Image.Image | np.ndarray, step: int, index: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The views (V, S, S, 3) uint8 of one opened image, in `out` if that is given."""
        if out is None:
            out = np.empty((self.views, self.size, self.size, 3), np.uint8)
        image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        width, height = image_files.upright_size(image)
        boxes = self.boxes(step, index, height, width)
        shrink = _draft(image, int(boxes[:, 2:].min()), self.size)
        image = image_files.standard(image)
        for view, box in zip(out, boxes, strict=True):
            view[:] = self._view(image, box, shrink)
        return out

    def _view(self, image: Image.Image, box: np.ndarray, shrink: int) -> np.ndarray:
        top, left, tall, wide = (int(x) for x in box)
        # Cut first, as torchvision does: a resize of a part would read beyond its edges.
        outer = (
            left // shrink,
            top // shrink,
            min(-(-(left + wide) // shrink), image.size[0]),
            min(-(-(top + tall) // shrink), image.size[1]),
        )
        part = decode.to_rgb(image.crop(outer))
        inner = (
            left / shrink - outer[0],
            top / shrink - outer[1],
            min((left + wide) / shrink - outer[0], part.size[0]),
            min((top + tall) / shrink - outer[1], part.size[1]),
        )
        size = (self.size, self.size)
        return np.asarray(part.resize(size, Image.Resampling.BILINEAR, box=inner))


def _draft(image: Image.Image, shortest: int, size: int) -> int:
    """Makes a JPEG decode at 1/2, 1/4 or 1/8, if that is enough; by how much."""
    if image.format not in ("JPEG", "MPO"):
        return 1
    width, height = image.size
    for shrink in (8, 4, 2):
        if shortest >= GAP * shrink * size:
            image.draft(None, (width // shrink, height // shrink))
            return round(width / image.size[0])
    return 1
