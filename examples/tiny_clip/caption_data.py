"""Small pictures with honest captions, all drawn or cut here: what `digits_clip` learns from.

| kind | pictures | captions say |
| --- | --- | --- |
| digits | 0 to 5 of `digits:train` | zero ... five |
| photo | patches of the photo of a temple by a lake, by hand-drawn regions | roof, tree, lake ... |
| textures | drawn, in two random colours | stripes, a brick wall ... |
| drawings | white strokes on black, as coarse as the digits | an anchor, a star ... |

Held out, for OOD: digits 6 to 9 and their names, the photo of a flower, and the textures of
`HELD_OUT_TEXTURES`. No image and no caption of these is made here.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from adapt_jax.clip import pixels_uint8
from adapt_jax.data import sources
from adapt_jax.text_bank import class_names, prompts

SIZE = 32
ID_DIGITS = "digits:train?classes=0-5"
NOUNS = ("a photo of a {}", "the nice {}", "a picture of a {}", "a small {}", "{}")
ADJECTIVES = ("This is a {} photo", "a {} picture", "something {}")
DIGITS = ("the digit {}", "the number {}", "a handwritten {}")


HELD_OUT = {
    "digits": "6 to 9, pictures and names",
    "photo": "flower.jpg, all of it",
    "textures": "noise, blobs, rings",
}


class Concept(NamedTuple):
    """images (N, 32, 32, 3) uint8, any of which may have any of the captions."""

    kind: str
    captions: tuple[str, ...]
    images: np.ndarray


# (top, left, bottom, right): nearly all of each rectangle shows what it is called.
REGIONS = {
    "sky": ((0, 330, 180, 560), (0, 0, 110, 90)),
    "roof": ((76, 155, 117, 255), (247, 95, 282, 330)),
    "temple,tower": ((186, 100, 234, 315), (284, 85, 332, 305)),
    "tree,bush,leaf": ((345, 0, 427, 190), (250, 580, 427, 640), (325, 400, 427, 540)),
    "lake,water": ((243, 352, 312, 400), (243, 352, 274, 545)),
}

# Polylines through points xy of a grid from 0 to 8; oxyr is a circle.
STROKES = {
    "anchor": "4148 2262 0528486885 o411",
    "bed": "0108 8488 0585",
    "bridge": "0282 08256588 2225 6265",
    "church": "181442747818 4042 3151",
    "comb": "0282 0207 2227 4247 6267 8287",
    "fence": "1118 3138 5158 7178 0383 0686",
    "fork": "20246460 4048",
    "hat": "0787 27226267",
    "heart": "48032042608348",
    "mountain": "0831556388",
    "rain": "1021 4051 7081 2334 5364 0617 3647 6677",
    "sailboat": "0686682806 4046407545",
    "star": "406803832840",
    "sun": "o442 4041 4748 0414 7484 1122 6677 1726 6271",
    "table": "0282 1218 7278",
    "tent": "08408808 4348",
    "wheel": "o444 4048 0484 1177 1771",
    "window": "0080880800 4048 0484",
}


def _stripes(phase, across, down, rng):
    return np.sin(phase[0] + across * rng.uniform(0.5, 1.2)) > 0


def _checks(phase, across, down, rng):
    pitch = rng.uniform(0.4, 0.8)
    return (np.sin(phase[0] + across * pitch) > 0) ^ (np.sin(phase[1] + down * pitch) > 0)


def _dots(phase, across, down, rng):
    pitch = rng.uniform(0.6, 1.0)
    return np.cos(phase[0] + across * pitch) + np.cos(phase[1] + down * pitch) > 1


def _net(phase, across, down, rng):
    pitch = rng.uniform(0.5, 0.9)
    lines = np.maximum(np.cos(phase[0] + across * pitch), np.cos(phase[1] + down * pitch))
    return lines > 0.9


def _bricks(phase, across, down, rng):
    row, height = divmod(phase[0] + np.mgrid[:SIZE, :SIZE][0] / rng.uniform(5, 8), 1)
    along = (np.mgrid[:SIZE, :SIZE][1] / rng.uniform(10, 14) + phase[1] + row / 2) % 1
    return (height > 0.2) & (along > 0.1)


def _gradient(phase, across, down, rng):
    return (across - across.min()) / np.ptp(across)


def _plain(phase, across, down, rng):
    return np.zeros((SIZE, SIZE))


def _noise(phase, across, down, rng):
    return rng.random((SIZE, SIZE))


def _blobs(phase, across, down, rng):
    coarse = Image.fromarray((rng.random((5, 5)) * 255).astype(np.uint8))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) > 127


def _rings(phase, across, down, rng):
    return np.sin(np.hypot(across - 4 * phase[0], down - 4 * phase[1]) * rng.uniform(0.7, 1.2)) > 0


# words of what is seen: nouns; adjectives
TEXTURES = {
    _stripes: ("stripes", "striped"),
    _checks: ("checkerboard", ""),
    _dots: ("dots", ""),
    _net: ("net", ""),
    _bricks: ("brick,wall", ""),
    _gradient: ("gradient", "smooth"),
    _plain: ("", "plain"),
}
HELD_OUT_TEXTURES = {"noise": _noise, "blobs": _blobs, "rings": _rings}


def concepts(seed: int, per_concept: int = 200) -> list[Concept]:
    """All that there is to learn; the digits come with all their training images, and first."""
    rng = np.random.default_rng(seed)
    digits = sources.load(ID_DIGITS, 8, labeled=True)
    pixels = np.stack([enlarged(image) for image in digits.images])
    found = []
    for label, name in enumerate(class_names.load("digits")[: len(digits.class_names)]):
        captions = _captions(name) + tuple(prompts.fill(t, [name])[0] for t in DIGITS)
        found.append(Concept("digits", captions, pixels[digits.labels == label]))
    photo = _temple()
    for words, boxes in REGIONS.items():
        images = [_patch(photo, boxes, rng) for _ in range(per_concept)]
        found.append(Concept("photo", _captions(words), np.stack(images)))
    for draw, words in TEXTURES.items():
        found.append(Concept("textures", _captions(*words), textures(draw, per_concept, rng)))
    for word, strokes in STROKES.items():
        images = [_drawing(strokes, rng) for _ in range(per_concept)]
        found.append(Concept("drawings", _captions(word), np.stack(images)))
    return found


def enlarged(image: np.ndarray) -> np.ndarray:
    """(8, 8[, 3]) uint8 as a model in Hugging Face's layout will be shown it."""
    return pixels_uint8(image, SIZE, "huggingface")


def textures(draw, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 32, 32, 3) uint8 of one kind: any direction, any two colours that differ."""
    y, x = np.mgrid[:SIZE, :SIZE]
    images = np.empty((count, SIZE, SIZE, 3))
    for i in range(count):
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, 2)
        across, down = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        colours = rng.uniform(0, 255, (2, 3))
        while np.abs(np.diff(colours, axis=0)).mean() < 60:
            colours = rng.uniform(0, 255, (2, 3))
        amount = draw(phase, across, down, rng)[..., None]
        images[i] = colours[0] + amount * (colours[1] - colours[0])
    return np.rint(images + rng.normal(0, 4, images.shape)).clip(0, 255).astype(np.uint8)


def held_out_textures(per_kind: int = 100) -> np.ndarray:
    """(3 per_kind, 32, 32, 3) uint8, always the same ones."""
    rng = np.random.default_rng(0)
    return np.concatenate([textures(draw, per_kind, rng) for draw in HELD_OUT_TEXTURES.values()])


def _captions(nouns: str, adjectives: str = "") -> tuple[str, ...]:
    pairs = [(NOUNS, nouns), (ADJECTIVES, adjectives)]
    return tuple(
        text
        for templates, words in pairs
        for template in templates
        for text in prompts.fill(template, filter(None, words.split(",")))
    )


def _temple() -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")


def _patch(photo: np.ndarray, boxes, rng: np.random.Generator) -> np.ndarray:
    """A square patch inside one of the boxes, as large as the network's images."""
    corners = [max(b - t - SIZE + 1, 1) * max(r - l - SIZE + 1, 1) for t, l, b, r in boxes]
    t, l, b, r = boxes[rng.choice(len(boxes), p=np.array(corners) / sum(corners))]
    top, left = (rng.integers(low, max(high - SIZE, low) + 1) for low, high in ((t, b), (l, r)))
    return photo[top : top + SIZE, left : left + SIZE]


def _drawing(strokes: str, rng: np.random.Generator) -> np.ndarray:
    """White strokes on black, slanted and stretched, brought to 8 x 8 as the digits are."""
    fine = 64
    image = Image.new("L", (fine, fine))
    pen, width = ImageDraw.Draw(image), int(rng.integers(5, 9))
    stretch = rng.uniform((4, 5.5), (6.5, 7))
    tilt = np.array([[1, rng.normal(0, 0.12)], [rng.normal(0, 0.08), 1]]) * stretch[:, None]
    middle = fine / 2 + rng.normal(0, 3, 2)
    for stroke in strokes.split():
        if stroke[0] == "o":
            x, y, radius = map(int, stroke[1:])
            turn = np.linspace(0, 2 * np.pi, 24)
            points = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)
        else:
            points = np.array([*map(int, stroke)], float).reshape(-1, 2)
        points = (points - 4) @ tilt.T + rng.normal(0, 1, points.shape) + middle
        pen.line([tuple(p) for p in points], fill=255, width=width, joint="curve")
    return enlarged(np.asarray(image.resize((8, 8), Image.Resampling.BOX)))
