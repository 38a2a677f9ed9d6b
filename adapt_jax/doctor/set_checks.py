"""Checks of image sets and of the features that the network computed from them.

Sets have roles: "train", the ID sets "id" and "val" that must be like it, "shifted" (ID that must
not), "ood" and "ood_val".
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from adapt_jax.core.arrays import NORM_FLOOR, unit_rows
from adapt_jax.data import augment
from adapt_jax.data.set_names import ID, OOD_VAL, SHIFTED, VAL
from adapt_jax.doctor.findings import FAIL, WARN, Finding
from adapt_jax.doctor.run_checks import blocks, findings_of, mean_cosine
from adapt_jax.inference.learning import effective_rank, sample

TRAIN, OOD = "train", "ood"
ID_LIKE = (TRAIN, ID, VAL)

FEW = 100  # test images
COLLAPSED = 0.9999  # mean cosine between rows
ONE_DIRECTION = 1.5  # effective rank
DEAD = 0.25  # share of channels
SHIFT, OOD_SHIFT = 0.25, 1.0  # of means, in deviations
SCALE, OOD_SCALE = 1.25, 3.0  # ratios of norms or deviations
DUPLICATES = 0.01  # share of images


class Features(NamedTuple):
    """A set's features in brief; the last five are of finite rows.

    count, width: of the array. broken, zero: rows with NaN or infinity, rows of zeros.
    dead: channels of one value. rank: participation ratio of the covariance's eigenvalues, and
    cosine: mean over pairs of rows, both of a sample. norm: median. mean, deviation: of the
    rows (D,) and the root of their total variance.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count
    width: int
    broken: int
    zero: int
    dead: int
    rank: float
    cosine: float
    norm: float
    mean: np.ndarray
    deviation: float


class Images(NamedTuple):
    """A set's images in brief: mean, std (3,) on the scale 0..1; constant, grey: how many are.

    hashes (N,) uint64: equal images have equal ones.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count
    mean: np.ndarray
    std: np.ndarray
    constant: int
    grey: int
    hashes: np.ndarray


def summarize_features(features: np.ndarray) -> Features:
    """Reads features (N, D) in blocks; what needs pairs of rows sees a `sample`."""
    count, width = features.shape
    low, high, total = np.full(width, np.inf), np.full(width, -np.inf), np.zeros(width)
    norms, kept = [], np.zeros(count, bool)
    for part, rows in blocks(features):
        kept[part] = finite = np.isfinite(rows).all(axis=1)
        rows = rows[finite].astype(np.float64)
        low = np.minimum(low, rows.min(axis=0, initial=np.inf))
        high = np.maximum(high, rows.max(axis=0, initial=-np.inf))
        total += rows.sum(axis=0)
        norms.append(np.linalg.norm(rows, axis=1))
    lengths = np.concatenate(norms)
    if not len(lengths):
        return Features(count, width, count, 0, width, 0.0, 1.0, 0.0, total, 0.0)
    rows = sample(features, np.flatnonzero(kept)).astype(np.float64)
    return Features(
        count=count,
        width=width,
        broken=count - len(lengths),
        zero=int(np.sum(lengths == 0)),
        dead=int(np.sum(low == high)),
        rank=effective_rank(rows),
        cosine=mean_cosine(unit_rows(rows)),
        norm=float(np.median(lengths)),
        mean=total / len(lengths),
        deviation=float(np.sqrt(rows.var(axis=0).sum())),
    )


def features(name: str, role: str, s: Features) -> list[Finding]:
    """Whether a set's features can tell images apart."""
    shown = f"{s.count:,} x {s.width}"
    bad = s.broken
    return findings_of(
        f"features of {name}",
        f"{shown}, effective rank {s.rank:.1f}, mean cosine {s.cosine:.3f}, median norm "
        f"{s.norm:.3g}, {s.dead} dead channels, {s.zero} rows of zeros",
        (
            bad,
            FAIL,
            f"{bad:,} of {s.count:,} rows hold NaN or infinity",
            "train again with a lower learning rate, or with model.dtype=float32",
        ),
        (
            s.zero,
            FAIL if s.zero > s.count / 2 else WARN,
            f"{s.zero:,} of {s.count:,} rows are all zeros and have no direction",
            "look at these images; if they are fine the network died: train with a lower rate",
        ),
        (
            s.count > 1 and s.cosine > COLLAPSED and s.zero <= s.count / 2 and not bad,
            FAIL if role in ID_LIKE else WARN,
            f"all rows are nearly the same: mean cosine {s.cosine:.6f}",
            "the features collapsed or the images are all alike: look at them, train again",
        ),
        (
            role == TRAIN and s.rank < ONE_DIRECTION and s.cosine <= COLLAPSED,
            WARN,
            f"features vary along one direction: effective rank {s.rank:.2f} of {s.width}",
            "train longer; two classes may need no more",
        ),
        (
            role == TRAIN and s.dead > DEAD * s.width,
            WARN,
            f"{s.dead} of {s.width} channels have one value for all training images",
            "train with a lower learning rate or weight decay, or a narrower network",
        ),
    )


def features_apart(summaries: Mapping[str, Features], roles: Mapping[str, str]) -> list[Finding]:
    """Whether sets differ from the training set in ways that speak of preprocessing."""
    if TRAIN not in summaries or not summaries[TRAIN].norm:
        return []
    train, out = summaries[TRAIN], []
    for name, s in summaries.items():
        if name == TRAIN or not s.norm:
            continue
        id_like, ratio = roles[name] in ID_LIKE, s.norm / train.norm
        shift = float(np.linalg.norm(s.mean - train.mean) / max(train.deviation, NORM_FLOOR))
        chance = 3 * np.sqrt(1 / s.count + 1 / train.count)  # of two samples of one population
        most = SCALE if id_like else OOD_SCALE
        out += findings_of(
            f"features of {name} against train",
            f"mean shifted by {shift:.2f} deviations, median norm x {ratio:.2f}",
            (
                id_like and shift > SHIFT + chance,
                WARN,
                f"the mean is {shift:.2f} deviations away",
                "check that its images are cut and normalised alike and its classes the same",
            ),
            (
                not 1 / most < ratio < most,
                WARN,
                f"the median norm is {ratio:.2f} times that of training images",
                "check resizing and value range of its images; length alone may separate them",
            ),
        )
    return out


def summarize_images(images: np.ndarray) -> Images:
    """Reads images (N, H, W, 3) uint8 in blocks."""
    mean, std = augment.mean_std(images)
    constant = grey = 0
    hashes = []
    for _, block in blocks(images, max(1, (1 << 24) // images[0].size)):
        first = block[:, :1, :1]
        constant += int(np.all(block == first, axis=(1, 2, 3)).sum())
        grey += int(np.all(block == block[..., :1], axis=(1, 2, 3)).sum())
        hashes += [hashlib.blake2b(i.tobytes(), digest_size=8).digest() for i in block]
    return Images(
        len(images), mean, std, constant, grey, np.frombuffer(b"".join(hashes), np.uint64)
    )


def images(name: str, role: str, s: Images, train: Images) -> list[Finding]:
    """Whether a set looks as it should beside the training images."""
    id_like = role in ID_LIKE
    deviation = np.maximum(train.std, 1 / 255)
    shift = float(np.max(np.abs(s.mean - train.mean) / deviation))
    ratio = s.std / deviation
    ratio = float(ratio[np.argmax(np.abs(np.log(np.maximum(ratio, NORM_FLOOR))))])
    most = SCALE if id_like else OOD_SCALE
    unlike = role != SHIFTED and (
        shift > (SHIFT if id_like else OOD_SHIFT) or not 1 / most < ratio < most
    )
    repeated = s.count - len(np.unique(s.hashes))
    colour = "grey" if s.grey == s.count else "colour" if not s.grey else f"{s.grey:,} grey"
    share, usual = s.grey / s.count, train.grey / train.count
    odd = (share > 0.99 and usual < 0.5) or (share < 0.01 and usual > 0.99)
    return findings_of(
        f"images of {name}",
        f"{s.count:,}, {colour}, mean {_triple(s.mean)}, std {_triple(s.std)}, "
        f"{repeated} repeated, {s.constant} of one colour",
        (
            s.count < FEW and role != TRAIN,
            WARN,
            f"{s.count} images only: each is worth {1 / s.count:.1%} of an error rate",
            "use the whole set, or several seeds and intervals (--bootstrap)",
        ),
        (
            s.constant,
            WARN,
            f"{s.constant:,} of {s.count:,} images have one colour only",
            "look for files that are damaged or decoded wrongly",
        ),
        (
            repeated > DUPLICATES * s.count,
            WARN,
            f"{repeated:,} of {s.count:,} images repeat another exactly",
            "remove the copies, they count as evidence more than once",
        ),
        (
            unlike,
            WARN,
            f"mean is {shift:.2f} training deviations away, deviation x {ratio:.2f}",
            "check how these images are made: they must come like the training images"
            if id_like
            else "an easy OOD set: a detector may tell it from ID by brightness or contrast alone",
        ),
        (
            odd and role != SHIFTED,
            WARN,
            f"{share:.0%} of images are grey, of training images {usual:.0%}",
            "check how these images are made"
            if id_like
            else "an easy OOD set: a detector may tell it from ID by colour alone",
        ),
    )


def overlaps(hashes: Mapping[str, np.ndarray], roles: Mapping[str, str]) -> list[Finding]:
    """Whether sets share images: ID sets must not, and an OOD image is in no ID set."""
    unique, problems = {name: np.unique(h) for name, h in hashes.items()}, []
    for name, other in ((a, b) for a in unique for b in unique):
        pair = roles[name], roles[other]
        if pair[0] in (OOD, OOD_VAL) and pair[1] in (*ID_LIKE, SHIFTED):
            status, remedy = FAIL, "remove them: the same image cannot be in and out"
        elif pair in ((ID, TRAIN), (VAL, TRAIN), (SHIFTED, TRAIN), (VAL, ID)):
            status, remedy = WARN, "remove them from one side: ID scores look too good"
        elif pair == (OOD_VAL, OOD):
            status, remedy = WARN, "remove them: the search saw test images"
        else:
            continue
        shared = int(np.isin(hashes[name], unique[other], assume_unique=False).sum())
        detail = f"{shared:,} of {len(hashes[name]):,} images of {name} are also in {other}"
        problems.append((shared, status, detail, remedy))
    return findings_of("overlap", "no image is in two sets that must not share any", *problems)


def _triple(values: np.ndarray) -> str:
    return " ".join(f"{v:.2f}" for v in values)
