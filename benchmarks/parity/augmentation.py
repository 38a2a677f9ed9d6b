"""Whether two augmentations draw from one distribution: 17 statistics of each augmented image."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from adapt_jax.metrics import comparison


class Compared(NamedTuple):
    """One statistic: its means over the two samples, and the p-value of Kolmogorov and Smirnov.

    p is corrected for the number of statistics (Holm).
    """

    name: str
    ours: float
    theirs: float
    p: float


def statistics(views: np.ndarray, originals: np.ndarray) -> dict[str, np.ndarray]:
    """name -> (N,), of augmented images (N, S, S, 3) and what they came from, both on 0..255.

    Relative to the same number of the image they came from, where it says so.
    """
    x = np.asarray(views, np.float64)
    half = x.shape[1] // 2
    quarter = slice(half // 2, half + half // 2)
    source = np.asarray(originals, np.float64)
    grey, spread = x.mean(axis=3), x.max(axis=3) - x.min(axis=3)
    colour = (source.max(axis=3) - source.min(axis=3)).mean(axis=(1, 2))
    mean, deviation = (
        (function(x, axis=(1, 2)) + 1) / (function(source, axis=(1, 2)) + 1)
        for function in (np.mean, np.std)
    )
    found = {f"mean of {c}, relative": mean[:, i] for i, c in enumerate("RGB")}
    found |= {f"deviation of {c}, relative": deviation[:, i] for i, c in enumerate("RGB")}
    return found | {
        "colourfulness, relative": (spread.mean(axis=(1, 2)) + 1) / (colour + 1),
        "grey images": (spread.max(axis=(1, 2)) <= 1).astype(np.float64),
        "red against green, change": _opponents(x)[0] - _opponents(source)[0],
        "yellow against blue, change": _opponents(x)[1] - _opponents(source)[1],
        "change along rows": np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2)),
        "change along columns": np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)),
        "left against right": grey[:, :, :half].mean(axis=(1, 2)) - grey.mean(axis=(1, 2)),
        "top against bottom": grey[:, :half].mean(axis=(1, 2)) - grey.mean(axis=(1, 2)),
        "centre against border": grey[:, quarter, quarter].mean(axis=(1, 2))
        - grey.mean(axis=(1, 2)),
        "likeness to the original": _correlation(grey, source.mean(axis=3)),
        "black or white": ((x <= 0.5) | (x >= 254.5)).mean(axis=(1, 2, 3)),
    }


def compare(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> list[Compared]:
    """Compares two samples statistic by statistic."""
    raw = [stats.ks_2samp(ours[name], theirs[name]).pvalue for name in ours]
    corrected = comparison.holm(np.array(raw))
    return [
        Compared(name, float(ours[name].mean()), float(theirs[name].mean()), float(p))
        for name, p in zip(ours, corrected)
    ]


def table(rows: list[Compared]) -> str:
    """The rows in Markdown."""
    lines = ["| statistic | ours | theirs | p (Holm) |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {r.name} | {r.ours:.3f} | {r.theirs:.3f} | {r.p:.2g} |" for r in rows]
    return "\n".join(lines)


def _opponents(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of red minus green, and of yellow minus blue, of images (N, S, S, 3) -> (N,) each."""
    red, green, blue = np.moveaxis(x.mean(axis=(1, 2)), 1, 0)
    return red - green, (red + green) / 2 - blue


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of the pixels of image pairs (N, S, S) -> (N,); 0 where one is flat."""
    a, b = (v.reshape(len(v), -1) - v.mean(axis=(1, 2))[:, None] for v in (a, b))
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.maximum(norm, 1e-9)
