"""The rule by which labels of any set become those of the ID classes."""

import numpy as np
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.data import classes
from adapt_jax.data.classes import named, numbered

ANIMALS = ("ant", "bee", "guide_dog")
DIGITS = tuple(map(str, range(12)))
IMAGENET = ("tench", "crane", "goldfish", "crane")


def matched(own, labels, names, **kwargs):
    return classes.match("list:x", np.array(labels), names, own, **kwargs)


@pytest.mark.parametrize(
    ("own", "names", "expected", "rule"),
    [
        (named(ANIMALS, "train_data"), ANIMALS, [0, 1, 2], "by name, 3 of 3"),
        (named(ANIMALS, "train_data"), ANIMALS[::-1], [2, 1, 0], "by name"),
        (named(ANIMALS, "train_data"), ("Bee", "guide dog"), [1, 2], "no image of ant"),
        (named(ANIMALS, "train_data"), ("2", "0"), [2, 0], "by number (0 is ant, 2 is guide_dog)"),
        (named(ANIMALS, "train_data", (4, 5, 7)), ("5", "7"), [1, 2], "(4 is ant, 7 is guide_dog)"),
        (named(DIGITS, "train_data"), ("2", "10", "11"), [2, 10, 11], "by number, 3 of 12"),
        (named(sorted(DIGITS), "train_data"), ("2", "10"), [4, 2], "by number"),
        (named(("00001", "00002"), "train_data"), ("2", "1"), [1, 0], "by number"),
        (numbered(3, "the logits"), ANIMALS, [0, 1, 2], "in order (ant is 0, guide_dog is 2)"),
        (named(IMAGENET, "x", worded=True), ("n1", "n2", "n3", "n4"), [0, 1, 2, 3], "in order"),
        (named(IMAGENET, "x", worded=True), ("3", "1"), [3, 1], "by number"),
        (named(IMAGENET, "x", worded=True), IMAGENET, [0, 1, 2, 3], "by name"),
        (named(IMAGENET, "x", worded=True), ("goldfish",), [2], "by name"),
        (named(IMAGENET, "x", worded=True)._replace(aliases=(("a", "b", "c", "d"),)), ("d", "b"),
         [3, 1], "by name"),
        (named(("a", "b"), "x", (6, 9), worded=True), ("9",), [1], "by number"),
    ],
)  # fmt: skip
def test_every_class_finds_its_own(own, names, expected, rule):
    found = matched(own, range(len(names)), names)
    assert found.labels.tolist() == expected
    assert found.labels.dtype == np.int32
    assert rule in found.rule


@pytest.mark.parametrize(
    ("own", "names", "words"),
    [
        (named(ANIMALS, "train_data"), ("ant", "bee", "wasp"), "none of them, such as wasp"),
        (named(ANIMALS, "train_data"), ("x", "y", "z"), "3 of its classes are none of them"),
        (named(ANIMALS, "train_data"), ("1", "2", "3"), "they seem to count from 1"),
        (named(ANIMALS, "train_data"), ("0", "3"), "classes 0 to 2, and no class 3"),
        (named(ANIMALS, "train_data", (4, 5, 7)), ("0", "1"), "classes 4, 5, 7, and no class 0, 1"),
        (numbered(3, "the logits"), ("ant", "bee"), "2 of its classes are none of them"),
        (named(("1", "2", "3"), "train_data"), ANIMALS, "none of them"),
        (
            named(IMAGENET, "x", worded=True),
            ("crane", "tench"),
            "2 classes of x are called 'crane'",
        ),
        (named(IMAGENET, "x", worded=True), ("goldfish", "a", "b", "c"), "3 of its classes"),
        (named(IMAGENET, "x", worded=True), ("n1", "n2", "n3"), "has 3 classes, x has 4 names"),
    ],
)
def test_what_could_be_another_class_is_refused(own, names, words):
    with pytest.raises(InputError, match=words):
        matched(own, range(len(names)), names)


def test_only_classes_with_images_count():
    found = matched(named(ANIMALS, "train_data"), [1, 1], ("wasp", "bee"))
    assert found.labels.tolist() == [1, 1]
    assert found.rule == "labels by name, 1 of 3 classes, no image of ant, guide_dog"


def test_sets_without_labels_stay_so():
    own = named(ANIMALS, "train_data")
    assert classes.match("x", None, (), own) == (None, "has no labels", ())
    assert matched(None, [0, 1], ANIMALS).labels is None
    with pytest.raises(InputError, match="list:x has the negative label"):
        matched(own, [0, -1], ANIMALS, flaw="has the negative label -1")


def test_numbers_come_in_their_order():
    assert classes.in_order(["10", "9", "b"]) == ["10", "9", "b"]
    assert classes.in_order(["10", "9", "0"]) == ["0", "9", "10"]
    assert classes.in_order(["c10.x", "c9.x"]) == ["c9.x", "c10.x"]
    assert classes.in_order(["c10", "d9"]) == ["c10", "d9"]
    assert classes.in_order(["00010", "00009"]) == ["00009", "00010"]
    assert classes.numbers_of(["00010", "9"]) == (10, 9)
    assert classes.numbers_of(["1", "-2"]) is classes.numbers_of([]) is None
