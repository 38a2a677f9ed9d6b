"""`only=`: the classes of a list."""

import numpy as np
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.data import class_lists, sources


@pytest.fixture
def three(tmp_path):
    np.savez(
        tmp_path / "x.npz",
        images=np.zeros((6, 8, 8, 3), np.uint8),
        labels=np.array([0, 1, 2, 2, 1, 0]),
        class_names=np.array(["n01", "n02", "n03"]),
    )
    return tmp_path


def test_a_list_keeps_its_classes_in_the_order_of_the_set(three):
    (three / "list.txt").write_text("# mine\nn03\n\nn01\n")
    found = sources.load(f"npz:{three}/x.npz?only={three}/list.txt", 8)
    assert found.class_names == ("n01", "n03")
    assert found.labels.tolist() == [0, 1, 1, 0]


def test_the_lists_of_the_package():
    assert class_lists.known() == ("imagenet10", "imagenet100", "imagenet20", "imagenet30")
    for name in class_lists.known():
        ids = class_lists.names(name)
        assert f"imagenet{len(ids)}" == name
        assert sorted(ids) == list(ids)
        assert all(len(name) == 9 and name[0] == "n" and name[1:].isdigit() for name in ids)


def test_words_behind_a_wordnet_id_are_no_part_of_the_name(three):
    (three / "list.txt").write_text("n01443537 goldfish\npolar bear\n")
    assert class_lists.names(f"{three}/list.txt") == ("n01443537", "polar bear")


def test_wrong_lists_are_refused(three):
    place = f"npz:{three}/x.npz"
    with pytest.raises(InputError, match="has no class n01498041, nor 29 others of the list"):
        sources.load(f"{place}?only=imagenet30", 8)
    with pytest.raises(InputError, match="there is no such list"):
        sources.load(f"{place}?only=nothing.txt", 8)
    with pytest.raises(InputError, match="both classes= and only="):
        sources.parse(f"{place}?only=imagenet30&classes=0")
    (three / "list.txt").write_text("n01\nn01\n")
    with pytest.raises(InputError, match="name twice"):
        sources.load(f"{place}?only={three}/list.txt", 8)
