"""Labels of a zero-shot run's sets as numbers of the classes that its prompts name."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from adapt_jax.core.errors import InputError
from adapt_jax.data import class_lists, sources, suites
from adapt_jax.zero_shot import image_features

WORDS = tuple(f"word {chr(97 + i)}" for i in range(12))


@pytest.fixture
def place(tmp_path):
    """Where sets are made; `save(name, labels, names)` writes one and returns its source."""
    (tmp_path / "names.txt").write_text("\n".join(WORDS))

    def save(name, labels, names=None):
        images = np.zeros((len(labels), 8, 8, 3), np.uint8)
        named = {} if names is None else {"class_names": names}
        np.savez(tmp_path / f"{name}.npz", images=images, labels=labels, **named)
        return f"npz:{tmp_path}/{name}.npz"

    save.names = str(tmp_path / "names.txt")
    return save


def labelled(class_names, id_source, shifted="", suite=""):
    sets = suites.Suite(suite, (), id_test=suites.Expected(id_source))
    if shifted:
        sets = sets._replace(sets=(suites.OodSet("shifted", "new", shifted),))
    opened = {
        name: sources.lazy_set(source, 8, lambda image: np.asarray(image))
        for name, source in (("id", id_source), ("new", shifted))
        if source
    }
    listed = image_features.listed_classes(class_names, id_source, print)
    return image_features.labelled(listed, sets, opened, print)


def test_numbers_are_lines_of_the_list(place):
    found = labelled(place.names, place("id", np.arange(12)), place("new", [10, 2, 2]))
    assert found.class_names == WORDS
    assert found.opened["id"].labels.tolist() == list(range(12))
    assert found.opened["new"].labels.tolist() == [10, 2, 2]
    assert "by number (0 is word a, 11 is word l), 2 of 12 classes" in found.rules["new"]


@pytest.mark.parametrize(
    ("form", "rule"), [("{}", "number"), ("{:05}", "number"), ("c{}", "order")]
)
def test_folders_with_numbers_are_lines_of_the_list(place, tmp_path, form, rule):
    for i in range(12):
        folder = tmp_path / "set" / form.format(i)
        folder.mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(folder / "a.png")
    found = labelled(place.names, f"folder:{tmp_path}/set")
    stream = found.opened["id"]
    pixels = np.concatenate(list(stream.blocks()))[:, 0, 0, 0]
    assert stream.labels.tolist() == pixels.tolist() == list(range(12))
    assert rule in found.rules["id"]


def test_chosen_classes_take_their_names_along(place):
    id_source = place("id", np.arange(12)) + "?classes=3-5"
    found = labelled(place.names, id_source, place("new", [5, 3, 5]))
    assert found.class_names == WORDS[3:6]
    assert found.opened["id"].labels.tolist() == [0, 1, 2]
    assert found.opened["new"].labels.tolist() == [2, 0, 2]
    with pytest.raises(InputError, match="has labels from 0 to 11"):
        labelled(place.names, id_source, place("new", np.arange(12)))
    with pytest.raises(InputError, match="asks for class 12, class_names .* has 12 names"):
        labelled(place.names, place("id", np.arange(20)) + "?classes=3-12")


def test_the_names_of_the_test_set_are_known_in_shifted_sets(place):
    codes = [f"n{i:08}" for i in range(12)]
    id_source = place("id", np.arange(12), codes)
    found = labelled(place.names, id_source, place("new", [0, 1], ["n00000007", "n00000002"]))
    assert found.opened["new"].labels.tolist() == [7, 2]
    with pytest.raises(InputError, match="1 of its classes are none of them, such as n9"):
        labelled(place.names, id_source, place("new", [0, 1], ["n00000007", "n9"]))


def test_names_that_the_data_bring(place):
    id_source = place("id", np.arange(3), ["a_b", "c", "d"])
    found = labelled("data", id_source, place("new", [0, 1], ["d", "a_b"]))
    assert found.class_names == ("a b", "c", "d")
    assert found.opened["new"].labels.tolist() == [2, 0]


@pytest.mark.parametrize("labels", [np.arange(12) + 1, np.arange(13), np.r_[0, 2**32]])
def test_numbers_that_no_class_has_are_refused(place, labels):
    fine = place("fine", np.arange(12))
    with pytest.raises(InputError, match="wrong.npz has labels from"):
        labelled(place.names, place("wrong", labels))
    with pytest.raises(InputError, match="wrong.npz has labels from"):
        labelled(place.names, fine, place("wrong", labels))


def test_a_suite_is_for_its_own_classes(place):
    with pytest.raises(InputError, match="suite s has other classes than class_names"):
        labelled(place.names, place("id", np.arange(10)), suite="s")


def test_a_subset_of_imagenet_takes_its_words_from_the_list(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPT_JAX_DATA", str(tmp_path))
    suite = suites.resolve("hard_imagenet10")
    val = tmp_path / "images_largescale/imagenet_1k/val"
    codes = class_lists.names("imagenet10")
    for i, code in enumerate((*codes, "n00000000", "n99999999")):
        (val / code).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(val / code / "a.png")
    found = labelled(suite.class_names, suite.id_test.source, suite=suite.name)
    assert found.class_names[:2] == ("brambling", "American bullfrog")
    assert "in order (n01530575 is brambling, n04552348 is military aircraft)" in found.rules["id"]
    stream = found.opened["id"]
    pixels = np.concatenate(list(stream.blocks()))[:, 0, 0, 0]
    assert stream.labels.tolist() == pixels.tolist() == list(range(10))
    with pytest.raises(InputError, match="set id has 10 images, the protocol has 500"):
        image_features.open_sets(suite, partial(np.asarray, size=8), print)
    (val / codes[3] / "a.png").rename(val / codes[0] / "b.png")
    (val / codes[3]).rmdir()
    with pytest.raises(InputError, match=f"has no class {codes[3]} of the list imagenet10"):
        labelled(suite.class_names, suite.id_test.source)
    (val / "flat.png").write_bytes((val / codes[0] / "a.png").read_bytes())
    with pytest.raises(InputError, match="give every class a sub-folder of its own"):
        labelled(suite.class_names, suite.id_test.source)
