"""Names of the ID classes as words a text tower understands.

Short lists are here; others come with a data set (`words` of its class names); ImageNet's, cleaned
by OpenAI, from a file or from an installed open_clip.
"""

import ast
import importlib.util
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from adapt_jax.core import stand_ins
from adapt_jax.core.errors import InputError
from adapt_jax.text_bank import codes

LISTS = {
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    "cifar100": (
        "apple", "aquarium fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle",
        "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle",
        "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch",
        "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox",
        "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn mower", "leopard", "lion",
        "lizard", "lobster", "man", "maple tree", "motorcycle", "mountain", "mouse", "mushroom",
        "oak tree", "orange", "orchid", "otter", "palm tree", "pear", "pickup truck", "pine tree",
        "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
        "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake",
        "spider", "squirrel", "streetcar", "sunflower", "sweet pepper", "table", "tank",
        "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle",
        "wardrobe", "whale", "willow tree", "wolf", "woman", "worm",
    ),
    "bimcv": (  # YBZh/OpenOOD-VLM, openood/networks/clip_fixed_ood_prompt.py
        "a normal chest X-ray with clear lungs",
        "a chest X-ray with evident features of COVID-19, including ground-glass opacities, lung "
        "infiltrates, bilateral patchy shadows and consolidation",
    ),
    "digits": (
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    ),
}  # fmt: skip

_WNIDS, _LINE = "wnids:", re.compile(r"n\d{8}\s+\S")
_OPEN_CLIP = ("zero_shot_metadata.py", "IMAGENET_CLASSNAMES")


def load(
    place: str | os.PathLike, report_progress: Callable[[str], None] = lambda text: None
) -> tuple[str, ...]:
    """The names in order of the class index.

    Args:
      place: source of the names: a key of `LISTS`; "imagenet" for the list in an installed
        open_clip; or a file: text with one name a line, codes beside it or not (see `codes`), .csv
        or .tsv with one column of names, or .json, a list or {"0": name, ...}, where name may be
        [id, name]; or "wnids:FILE" for the lines "n01443537 goldfish" of a text, by WordNet id as
        folders with these names are.
      report_progress: function called with a line about what was left out of the lines.

    Raises:
      InputError: an unknown list, an unreadable file, names that are codes (see `words`), or codes
        beside names that nobody can tell from them.
    """
    if place in LISTS:
        return LISTS[place]
    if place == "imagenet":
        return _spaced(_from_open_clip())
    if str(place).startswith(_WNIDS):
        return _by_wnid(Path(str(place).removeprefix(_WNIDS)).expanduser())
    path = Path(place).expanduser()
    if not path.is_file():
        places = ", ".join((*LISTS, "imagenet"))
        raise InputError(f"no class names called {place!r} and no such file; known: {places}")
    stand_ins.refuse_stand_in(path)
    kind = path.suffix.lower()
    try:
        text = path.read_text("utf-8-sig")
        names = _from_json(json.loads(text)) if kind == ".json" else text.splitlines()
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"cannot read class names from {place}: {error!r}") from error
    spaced = _spaced(name for name in names if name.strip())
    if kind == ".json" and not any(codes.WORDNET.match(name) for name in spaced):
        return spaced
    try:
        class_names = codes.without(spaced, table=kind in (".csv", ".tsv"))
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    return _said(class_names, report_progress)


def _by_wnid(path: Path) -> tuple[str, ...]:
    """The names that stand behind WordNet ids in a text such as the README.txt of ImageNet-R."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read class names from {path}: {error!r}") from error
    names = dict(line.split(maxsplit=1) for line in map(str.strip, lines) if _LINE.match(line))
    if not names:
        raise InputError(
            f"{path} has no line with a WordNet id and a name, as 'n01443537 goldfish'"
        )
    return _spaced(names[wnid] for wnid in sorted(names))


def words(
    names: Sequence[str], report_progress: Callable[[str], None] = lambda text: None
) -> tuple[str, ...]:
    """A data set's class names with spaces for underscores, as CLIP's own examples write them.

    OpenOOD-VLM's frozen networks leave CIFAR-100's underscores in the prompts.

    Args:
      names: names of the classes; codes beside all of them are left out, see `codes`.
      report_progress: function called with a line about what was left out.

    Raises:
      InputError: none, all are numbers or WordNet ids, which say nothing to a text tower, or codes
        stand beside some.
    """
    return _said(codes.without(_spaced(names), ordered=False), report_progress)


def _said(class_names: codes.Names, report_progress: Callable[[str], None]) -> tuple[str, ...]:
    if class_names.note:
        report_progress(class_names.note)
    return class_names.names


def _spaced(names: Iterable[str]) -> tuple[str, ...]:
    names = tuple(name.replace("_", " ").strip() for name in names)
    if not names:
        raise InputError("there are no class names")
    if all(re.fullmatch(r"n?\d+", name) for name in names):
        raise InputError(
            f"class names such as {names[0]!r} are codes, not words; "
            "give a file of names, one per line in the order of the classes"
        )
    return names


def _from_json(content) -> list[str]:
    if isinstance(content, dict):
        content = [content[str(i)] for i in range(len(content))]
    names = [name[-1] if isinstance(name, list) else name for name in content]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("names must be strings")
    return names


def _from_open_clip() -> Sequence[str]:
    """Reads open_clip's list without importing it, which would import torch."""
    spec = importlib.util.find_spec("open_clip")
    file, variable = _OPEN_CLIP
    path = Path(spec.origin).with_name(file) if spec and spec.origin else None
    if path and path.is_file():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == variable:
                return ast.literal_eval(node.value)
    raise InputError(
        "ImageNet's class names are not here; `pip install open_clip_torch` brings OpenAI's list "
        f"(its {variable}), or give a file with one name per line"
    )
