"""Codes beside class names never reach a prompt, and names that only look like codes stay."""

import json

import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.text_bank import class_names, codes

WORDS = ("tench", "great white shark", "hen", "electric ray")
IDS = ("n01440764", "n01484850", "n01514859", "n01496331")


@pytest.mark.parametrize(
    "form",
    [
        "{id} {name}", "{id}\t{name}", "{id}: {name}", "{id},{name}", "{id}_{name}", "{id}-{name}",
        "{i} {name}", "{i}: {name}", "{i}\t{name}", "{i},{name}", "{i}, {name}", "{i};{name}",
        "{i}. {name}", "{i}) {name}", "[{i}] {name}", "{i} - {name}", "{i} : {name}",
        "{i:03d}.{name}", "{j} {name}", "{j} {j:03d}.{name}", "{i},{id},{name}", "{name},{i}",
        "{i}\t{id}\t{name}", "{name}\t{id}", '{i},"{name}"', "{i} {id} {name}",
    ],
)  # fmt: skip
def test_every_form_of_code_is_left_out_and_said(form, tmp_path):
    rows = enumerate(zip(WORDS, IDS, strict=True))
    lines = [form.format(i=i, j=i + 1, id=id, name=name) for i, (name, id) in rows]
    (tmp_path / "names.txt").write_text("\n".join(lines))
    said = []
    assert class_names.load(tmp_path / "names.txt", said.append) == WORDS
    assert len(said) == 1
    assert "all 4 names are left out" in said[0]
    assert f"{lines[-1].replace('_', ' ')!r} is 'electric ray'" in said[0]


def test_synonyms_and_commas_of_names_stay(tmp_path):
    file = tmp_path / "synset_mapping.txt"
    file.write_text(
        "n01440764 tench, Tinca tinca\nn01514668 cock\nn01484850 great white shark, x\n"
    )
    assert class_names.load(file) == ("tench, Tinca tinca", "cock", "great white shark, x")
    file.write_text('0,"tench, Tinca tinca"\n1,"cock, rooster"\n')
    assert class_names.load(file) == ("tench, Tinca tinca", "cock, rooster")
    file.write_text("tench, Tinca tinca\ncock, rooster\n")
    assert class_names.load(file) == ("tench, Tinca tinca", "cock, rooster")


def test_a_text_around_lines_with_wordnet_ids(tmp_path):
    file = tmp_path / "README.txt"
    lines = "ImageNet-R", "", "200 classes:", "n01484850 great_white_shark", "n01443537 goldfish"
    file.write_text("\n".join(lines))
    assert class_names.load(f"wnids:{file}") == ("goldfish", "great white shark")
    file.write_text("nothing here\n")
    with pytest.raises(InputError, match="no line"):
        class_names.load(f"wnids:{file}")
    with pytest.raises(InputError, match="cannot read class names"):
        class_names.load(f"wnids:{tmp_path}/none.txt")


def test_a_table_with_a_header(tmp_path):
    (tmp_path / "labels.csv").write_text("class_id,class_name\n0,tench\n1,hen\n")
    said = []
    assert class_names.load(tmp_path / "labels.csv", said.append) == ("tench", "hen")
    assert "the header and the codes" in said[0]


@pytest.mark.parametrize(
    "names",
    [
        ("4 x 4 car", "7-up", "dog"),  # some numbers are names
        ("707-320", "727-200", "737-200"),  # aircraft
        ("1.5 litre", "2.0 litre"),
        ("three", "3d printer"),
        ("aquarium fish", "3"),
        ("missile", "missile"),
        ("Boeing 737", "Airbus A380", "DC 10"),
    ],
)
def test_names_that_only_look_like_codes_stay(names):
    assert codes.without(names) == codes.Names(names)
    assert class_names.words(names) == names


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("3 cat", "7 dog", "9 hen"), "may hold a code"),  # original numbers of a subset
        (("1 cat", "0 dog", "2 hen"), "may hold a code"),  # another order
        (("n01440764 tench", "hen"), "may hold a code"),
        (("c0 cat", "c1 dog", "c2 hen"), "may hold a code"),
        (("cat 0", "dog 1", "hen 2"), "may hold a code"),
        (("0 finger", "1 finger", "2 finger"), "the same for most classes"),
        (("0,cat,animal", "1,rose,plant"), "3 columns"),
        (("cat\tanimal", "rose\tplant"), "2 columns"),
        (("7\t3", "8\t5"), "2 columns"),
        (("name", "cat", "dog"), "a header"),
    ],
)
def test_what_nobody_can_tell_is_refused(lines, message, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"names\.txt: .*{message}"):
        class_names.load(tmp_path / "names.txt")
    if "header" not in message:  # and there is a way out
        (tmp_path / "names.json").write_text(json.dumps(lines))
        if not lines[0].startswith("n0"):
            assert class_names.load(tmp_path / "names.json") == lines


def test_folders_bring_their_numbers_in_any_order():
    assert (
        class_names.words(("0_cat", "10_cow", "1_dog", *(f"{i}_x{i}" for i in range(2, 10))))[1]
        == "cow"
    )
    assert class_names.words(("003.Albatross", "017.Cardinal")) == ("Albatross", "Cardinal")
    assert class_names.words(("n02085620-Chihuahua",)) == ("Chihuahua",)
    with pytest.raises(InputError, match="may hold a code"):
        class_names.words(("3_cat", "7_dog", "9_hen"))


def test_a_pointer_is_no_list_of_names(tmp_path):
    (tmp_path / "names.txt").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:1\n"
    )
    with pytest.raises(InputError, match="Git LFS pointer"):
        class_names.load(tmp_path / "names.txt")


def test_wordnet_ids_inside_json_are_no_names_either(tmp_path):
    (tmp_path / "names.json").write_text(json.dumps(["n01440764 tench", "n01514859 hen"]))
    assert class_names.load(tmp_path / "names.json") == ("tench", "hen")
