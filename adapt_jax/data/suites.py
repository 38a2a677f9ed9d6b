"""Which sets an evaluation uses: a comma-separated string of OOD sets, or the name of a suite.

A suite states a published protocol: sets, groups, exact sources and image counts. Its sources lie
below `data_root()`; `python -m adapt_jax.data download SUITE` fetches them.

    openood_*       OpenOOD v1.5: its image lists, near and far, and the covariate-shifted ID sets
                    of its full-spectrum tables (without ImageNet-ES, added after they were made)
    classic_*       ADAPT's list of sets for 32x32 images, the whole CIFAR test set as ID
    classic_palm_*  PALM's list
    mos_imagenet    the four sets of MOS (iNaturalist, SUN, Places, Textures) against ImageNet-1k's
                    whole validation set, as MCM, NegLabel and AdaNeg are evaluated
    mos_imagenet_*  the same four against ImageNet-V2, -Sketch, -A and -R as ID (NegLabel, CSP)
    tfds_*          what TensorFlow Datasets offers; no published protocol

The classic protocols average over all their sets and tell no near from far, so their group is
"ood". ADAPT takes the first 1,000 images of each SVHN digit; it drops each set's last partial
batch, we drop no image. PALM takes all of SVHN, squashes every image to 32x32 and draws 10,000 of
Places365; its draw is repeated here over the files in order of name, but has not been compared with
the authors' own. The official programs ignore EXIF orientation, so every source of a suite has the
option `exif=ignore`.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from adapt_jax.core.errors import InputError
from adapt_jax.core.file_names import encoded
from adapt_jax.data import sources
from adapt_jax.data.download.catalogue import data_root

DEFAULT_GROUP = "ood"
RESERVED = ("mean", "id", "train", "val", "ood_val")  # the row of group means, and sets beside
EXAMPLE = "near/cifar100=npz:c100.npz,far/signs=folder:gtsrb"
SKIP = "unreadable=skip"
AS_STORED = "exif=ignore"  # as the official programs read images
SPLITS = ("id_train", "id_val", "id_test", "ood_val")


class OodSet(NamedTuple):
    """One set: group ("near", "far", "shifted", ...), name (a key of the results), source string.

    count: how many images the protocol says it has, or None.
    """

    group: str
    name: str
    source: str
    count: int | None = None  # type: ignore[assignment]  # hides tuple.count


class Expected(NamedTuple):
    """A source string and how many images it must have, None if unknown; "" for no set."""

    source: str = ""
    count: int | None = None  # type: ignore[assignment]  # hides tuple.count


class Suite(NamedTuple):
    """A protocol: its OOD sets (and shifted ones) and, where it fixes them, the ID and search sets.

    A string of the user's has name "" and only `sets`. `class_names` says where the names of the ID
    classes are, as the config field of that name does; "" leaves that to the config.
    """

    name: str
    sets: tuple[OodSet, ...]
    id_train: Expected = Expected()
    id_val: Expected = Expected()
    id_test: Expected = Expected()
    ood_val: Expected = Expected()
    class_names: str = ""

    @property
    def splits(self) -> tuple[OodSet, ...]:
        """The fixed ones of id_train, id_val, id_test, ood_val, as sets of group ""."""
        fixed = [(name, getattr(self, name)) for name in SPLITS]
        return tuple(OodSet("", name, x.source, x.count) for name, x in fixed if x.source)


def _suite(name: str, rows: Sequence[tuple[str, str, int | None]], class_names: str = "") -> Suite:
    """rows: (field of `Suite` or group/name, source, count)."""
    expected = {label: Expected(source, count) for label, source, count in rows}
    splits = {label: expected.pop(label) for label in SPLITS if label in expected}
    named = ((*label.partition("/"), row) for label, row in expected.items())
    sets = tuple(OodSet(group, x, row.source, row.count) for group, _, x, row in named)
    return Suite(name, sets, **splits, class_names=class_names)


def _openood(name: str, rows: Sequence[tuple[str, str, int | None]]) -> Suite:
    """rows: (as in `_suite`, image list, count). Large images: resize 256, cut 224, except -C."""
    large = "imagenet" in name

    def source(lines: str) -> str:
        classic = not large or lines.endswith("textures")
        root = "images_classic" if classic else "images_largescale"
        resize = "&resize=256" if large and not lines.endswith("_c") else ""
        return f"list:{{root}}/benchmark_imglist/{lines}.txt?root={{root}}/{root}{resize}"

    return _suite(name, [(label, source(lines), count) for label, lines, count in rows])


def _cifar(name: str, rows: Sequence[tuple[str, str, int | None]]) -> Suite:
    """With CIFAR's own split as ID."""
    cifar = f"tfds:{name.rpartition('_')[2]}"
    splits = [("id_train", f"{cifar}:train", 50_000), ("id_test", f"{cifar}:test", 10_000)]
    return _suite(name, [*splits, *rows])


def _large_ood(folder: str) -> list[tuple[str, str, int]]:
    return [
        ("ood_val", f"{folder}/val_openimage_o", 1_763),
        ("near/ssb_hard", f"{folder}/test_ssb_hard", 49_000),
        ("near/ninco", f"{folder}/test_ninco", 5_879),
        ("far/inaturalist", f"{folder}/test_inaturalist", 10_000),
        ("far/textures", f"{folder}/test_textures", 5_160),
        ("far/openimage_o", f"{folder}/test_openimage_o", 15_869),
    ]


def _tfds(near: str) -> list[tuple[str, str, int]]:
    return [
        (f"near/{near}", f"tfds:{near}:test", 10_000),
        ("far/svhn", "tfds:svhn_cropped:test", 26_032),
        ("far/textures", "tfds:dtd:train+validation+test", 5_640),
        ("far/mnist", "tfds:mnist:test", 10_000),
    ]


_ADAPT = [
    ("ood/svhn", "mat:{root}/classic/svhn/test_32x32.mat?per_class=1000", 10_000),
    ("ood/lsun_resize", "folder:{root}/classic/LSUN_resize", 10_000),
    ("ood/isun", "folder:{root}/classic/iSUN", 8_925),
    ("ood/tiny_imagenet_resize", "folder:{root}/classic/Imagenet_resize", 10_000),
    ("ood/textures", "folder:{root}/classic/dtd/images", 5_640),
]
_PALM = [
    ("ood/svhn", "mat:{root}/classic/svhn/test_32x32.mat", 26_032),
    ("ood/places365", "folder:{root}/classic/places365?sample=10000&resize=stretch", 10_000),
    ("ood/lsun", "folder:{root}/classic/LSUN?resize=stretch", 10_000),
    ("ood/isun", "folder:{root}/classic/iSUN?resize=stretch", 8_925),
    ("ood/textures", "folder:{root}/classic/dtd/images?resize=stretch", 5_640),
]

_MOS = [
    ("ood/inaturalist", "folder:{root}/mos/iNaturalist", 10_000),
    ("ood/sun", "folder:{root}/mos/SUN", 10_000),
    ("ood/places", "folder:{root}/mos/Places", 10_000),
    ("ood/textures", "folder:{root}/classic/dtd/images", 5_640),
]


def _mos(name: str, id_test: str, count: int, class_names: str = "") -> Suite:
    return _suite(name, [("id_test", f"folder:{{root}}/{id_test}", count), *_MOS], class_names)


_SHIFTS = "images_largescale/shifts"
_README = f"wnids:{{root}}/{_SHIFTS}"

# {root} stands for data_root(); `resolve` fills it in.
SUITES = {
    suite.name: suite
    for suite in (
        _openood(
            "openood_cifar10",
            [
                ("id_train", "cifar10/train_cifar10", 50_000),
                ("id_val", "cifar10/val_cifar10", 1_000),
                ("id_test", "cifar10/test_cifar10", 9_000),
                ("ood_val", "cifar10/val_tin", 1_000),
                ("near/cifar100", "cifar10/test_cifar100", 9_000),
                ("near/tin", "cifar10/test_tin", 7_793),
                ("far/mnist", "cifar10/test_mnist", 70_000),
                ("far/svhn", "cifar10/test_svhn", 26_032),
                ("far/textures", "cifar10/test_texture", 5_640),
                ("far/places365", "cifar10/test_places365", 35_195),
                ("shifted/cifar10c", "cifar10/test_cifar10c", 10_000),
            ],
        ),
        _openood(
            "openood_cifar100",
            [
                ("id_train", "cifar100/train_cifar100", 50_000),
                ("id_val", "cifar100/val_cifar100", 1_000),
                ("id_test", "cifar100/test_cifar100", 9_000),
                ("ood_val", "cifar100/val_tin", 972),
                ("near/cifar10", "cifar100/test_cifar10", 10_000),
                ("near/tin", "cifar100/test_tin", 6_526),
                ("far/mnist", "cifar100/test_mnist", 70_000),
                ("far/svhn", "cifar100/test_svhn", 26_032),
                ("far/textures", "cifar100/test_texture", 5_640),
                ("far/places365", "cifar100/test_places365", 33_773),
            ],
        ),
        _openood(
            "openood_imagenet200",
            [
                ("id_train", "imagenet200/train_imagenet200", None),
                ("id_val", "imagenet200/val_imagenet200", 1_000),
                ("id_test", "imagenet200/test_imagenet200", 9_000),
                *_large_ood("imagenet200"),
                ("shifted/imagenet_v2", "imagenet200/test_imagenet200_v2", 2_000),
                ("shifted/imagenet_c", "imagenet200/test_imagenet200_c", 2_000),
                ("shifted/imagenet_r", "imagenet200/test_imagenet200_r", 30_000),
            ],
        ),
        _openood(
            "openood_imagenet",
            [
                ("id_train", "imagenet/train_imagenet", 1_281_167),
                ("id_val", "imagenet/val_imagenet", 5_000),
                ("id_test", "imagenet/test_imagenet", 45_000),
                *_large_ood("imagenet"),
                ("shifted/imagenet_v2", "imagenet/test_imagenet_v2", 10_000),
                ("shifted/imagenet_c", "imagenet/test_imagenet_c", 10_000),
                ("shifted/imagenet_r", "imagenet/test_imagenet_r", 30_000),
            ],
        ),
        _cifar("classic_cifar10", _ADAPT),
        _cifar("classic_cifar100", _ADAPT),
        _cifar("classic_palm_cifar10", _PALM),
        _cifar("classic_palm_cifar100", _PALM),
        _mos("mos_imagenet", "images_largescale/imagenet_1k/val", 50_000),
        _mos("mos_imagenet_v2", f"{_SHIFTS}/imagenetv2-matched-frequency-format-val", 10_000),
        _mos("mos_imagenet_sketch", f"{_SHIFTS}/sketch", 50_889),
        _mos("mos_imagenet_a", f"{_SHIFTS}/imagenet-a", 7_500, f"{_README}/imagenet-a/README.txt"),
        _mos("mos_imagenet_r", f"{_SHIFTS}/imagenet-r", 30_000, f"{_README}/imagenet-r/README.txt"),
        _suite("tfds_cifar10", _tfds("cifar100")),
        _suite("tfds_cifar100", _tfds("cifar10")),
    )
}


def resolve(text: str) -> Suite:
    """The suite of that name, or an unnamed one with the sets of a string as `parse_ood` reads it.

    A suite's name may end in "?unreadable=skip", which then holds for all of its sources.

    Raises:
      InputError: neither; the message lists the known suites.
    """
    text = text.strip()
    name, _, option = text.partition("?")
    if name in SUITES:
        suite, root = SUITES[name], str(data_root())
        if text != name and option != SKIP:
            raise InputError(f"suite {name} has the option ?{SKIP} and no other, got {text!r}")

        def placed(one):
            source = one.source.replace("{root}", root)
            as_stored = "" if source.startswith("mat:") else AS_STORED
            for added in filter(None, (as_stored, option) if source else ()):
                source += f"{'&' if '?' in source else '?'}{added}"
            return one._replace(source=source)

        splits = {name: placed(getattr(suite, name)) for name in SPLITS}
        names = suite.class_names.replace("{root}", root)
        return suite._replace(sets=tuple(map(placed, suite.sets)), class_names=names, **splits)
    if "=" not in text.partition("?")[0]:
        raise InputError(
            f"unknown OOD suite {text!r}; known: {', '.join(sorted(SUITES))}; "
            f"or list the sets as {EXAMPLE}"
        )
    return Suite("", parse_ood(text))


def parse_ood(text: str) -> tuple[OodSet, ...]:
    """`group/name=source,group/name=source,...`; without `group/` the group is "ood".

    Sets of the group "shifted" are covariate-shifted ID images. Only the syntax is checked, that of
    the sources included.

    Raises:
      InputError: no set, a malformed or repeated one, or a reserved name.
    """
    sets: list[OodSet] = []
    for part in text.split(","):
        label, equals, source = part.strip().partition("=")
        match = re.fullmatch(r"(?:([A-Za-z0-9_.-]+)/)?([A-Za-z0-9_.-]+)", label.strip())
        if not equals or not source or not match:
            raise InputError(
                f"bad OOD set {part.strip()!r}; expected group/name=source as in {EXAMPLE} "
                "(names of letters, digits and _.-, no comma in a source)"
            )
        group, name = match[1] or DEFAULT_GROUP, match[2]
        if taken := {name, group} & set(RESERVED):
            raise InputError(
                f"an OOD set or a group cannot be called {min(taken)!r}, results use that word"
            )
        if name in (other.name for other in sets):
            raise InputError(f"two OOD sets are called {name!r}; give each its own name")
        sets.append(OodSet(group, name, sources.parse(source).text))
    return tuple(sets)


def check_count(ood_set: OodSet, count: int, suite: str = "") -> None:
    """Raises InputError unless the set has as many images as the protocol says, if it says."""
    if ood_set.count is None or count == ood_set.count:
        return
    where, again = (f"suite {suite}: ", f" {suite}") if suite else ("", "")
    raise InputError(
        f"{where}set {ood_set.name} has {count:,} images, the protocol has {ood_set.count:,}; "
        f"find what is missing with `python -m adapt_jax.data verify{again}`, or name the sets you "
        f"do have as {EXAMPLE}"
    )


def names_sha256(entries: Mapping[str, Sequence[str]]) -> str:
    """sha256 (hex) over the image names of each set in order; equal exactly if those are.

    entries: set name -> `Dataset.names`; the order of the sets does not matter.
    """
    digest = hashlib.sha256()
    for name in sorted(entries):
        for text in (name, str(len(entries[name])), *entries[name]):
            data = encoded(text)
            digest.update(b"%d:%s" % (len(data), data))  # lengths: "ab", "c" is not "a", "bc"
    return digest.hexdigest()
