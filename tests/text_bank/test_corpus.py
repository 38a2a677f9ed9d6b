"""WordNet's database files -> word lists, on a small hand-written database and the real one."""

import hashlib
import json
import pathlib
import zipfile

import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.text_bank import corpus, embedded

GOLDEN = pathlib.Path(__file__).parents[1] / "golden/wordnet30_lists.json"

# offset, file, kind, number of words, (word, id)..., number of pointers, (mark, offset, kind, ends)
NOUN = """\
  1 a licence, every line of it indented
  2 and skipped
00000100 03 n 01 Entity 0 000 | a thing | with a bar
00000200 06 n 02 Toy_Box 0 chest 0 001 @ 00000100 n 0000 | not its second word
00000300 06 n 01 toy_box 1 001 @ 00000100 n 0000 | again
00000400 05 n 01 dog 0 000 | an animal
00000500 13 n 0a soup 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 000 | food; ten words, in hex
00000600 28 n 01 x 0 000 | one letter
00000700 28 n 01 fast 0 000 | also an adjective
"""
ADJ = """\
00000100 00 a 01 able 0 002 = 00000700 n 0000 ! 00000200 a 0101 | antonym further down: lost
00000200 00 a 01 unable 0 001 ! 00000100 a 0101 | antonym further up: kept
00000300 00 s 01 fast(p) 0 001 & 00000100 a 0000 | a satellite
00000400 00 a 01 lonely 0 000 | a head without antonym: lost
00000500 00 a 01 able_bodied(ip) 0 002 ! 00000900 a 0101 ! 00000200 a 0102 | one of two: kept
00000600 01 a 01 Lunar 0 000 | other files lose nothing
00000700 44 s 01 broken(a) 0 000 | a participle
"""


@pytest.fixture
def wordnet(tmp_path):
    folder = tmp_path / "dict"
    folder.mkdir()
    (folder / "data.noun").write_text(NOUN)
    (folder / "data.adj").write_text(ADJ)
    (folder / "noun.exc").write_text("oxen ox\n")
    return folder


def test_rules(wordnet):
    words = corpus.load(wordnet)
    assert words.nouns == ("entity", "toy box", "fast")
    assert words.adjectives == ("unable", "able bodied", "lunar", "broken")
    assert words.source == str(wordnet)


def test_switches(wordnet):
    words = corpus.load(wordnet, skip="noun.Tops", first="adjectives", lost_heads=False)
    assert words.nouns == ("dog", "toy box", "soup")
    assert words.adjectives == (
        "able", "unable", "fast", "lonely", "able bodied", "lunar", "broken",
    )  # fmt: skip


def test_zip_of_nltk_and_the_search_for_it(wordnet, tmp_path, monkeypatch):
    place = tmp_path / "nltk_data/corpora/wordnet.zip"
    place.parent.mkdir(parents=True)
    with zipfile.ZipFile(place, "w") as archive:
        for name in ("data.noun", "data.adj"):
            archive.write(wordnet / name, f"wordnet/{name}")
    for name in ("WNSEARCHDIR", "WNHOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk_data"))
    monkeypatch.setattr(corpus, "_SYSTEM", ())
    assert corpus.find_wordnet() == place
    assert corpus.load()[:2] == corpus.load(wordnet)[:2]
    monkeypatch.setenv("WNSEARCHDIR", str(wordnet))
    assert corpus.find_wordnet() == wordnet


def test_without_wordnet_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    for name in ("WNSEARCHDIR", "WNHOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(corpus, "_SYSTEM", (tmp_path / "nowhere",))
    monkeypatch.setattr(corpus.sys, "prefix", str(tmp_path / "prefix"))
    if any(pathlib.Path(p, "nltk_data").exists() for p in corpus._SHARED):
        pytest.skip("this machine has NLTK data for all users")
    with pytest.raises(InputError, match=r"mine/corpora/wordnet.*apt install wordnet-base"):
        corpus.load()


def test_official_text_files_are_taken_as_they_are(tmp_path):
    for name, text in {
        "noun.act.txt": "Running\nduel\n\nduel\n",
        "noun.zoo.txt": "cage \nduel\n",
        "adj.all.txt": "quick\ncage\n",
        "verb.act.txt": "run\n",
        "noun.exc": "oxen ox\n",
    }.items():
        (tmp_path / name).write_text(text)
    assert corpus.load(tmp_path)[:2] == (("Running", "duel", "cage"), ("quick",))
    assert corpus.load(tmp_path, first="adjectives")[:2] == (("Running", "duel"), ("quick", "cage"))


def test_id_names_can_be_removed():
    words = corpus.Corpus(("dog", "Dog", "cat"), ("blue",), "here")
    assert corpus.without(words, ["dog", "blue"]) == (("Dog", "cat"), (), "here")


def test_bad_places_are_explained(tmp_path, wordnet):
    with pytest.raises(InputError, match="no word list"):
        corpus.load(tmp_path / "missing")
    with pytest.raises(InputError, match=r"no data\.noun"):
        corpus.load(tmp_path)
    with pytest.raises(InputError, match=r"cannot skip noun\.foods"):
        corpus.load(wordnet, skip=["noun.foods"])
    with pytest.raises(InputError, match="first must be"):
        corpus.load(wordnet, first="verbs")
    with pytest.raises(InputError, match="no word is left"):
        corpus.join({"noun.act": ["run"]}, skip="noun.act")
    (wordnet / "data.adj").write_text(ADJ + "00000800 00 a 01 short 0 002 ! 00000100 a 0101 | x\n")
    with pytest.raises(InputError, match=r"data\.adj, line 8"):
        corpus.load(wordnet)
    (wordnet / "data.adj").unlink()
    with pytest.raises(InputError, match=r"cannot read WordNet's data\.adj"):
        corpus.load(wordnet)


def test_embedded_words():
    everything = [word for words in embedded.FILES.values() for word in words]
    assert len(everything) == len(set(everything)) > 400
    assert all(word.isalpha() and word.islower() for word in everything)
    words = corpus.load("embedded")
    assert not set(words.nouns) & {"dog", "tiger", "banana"}  # animals and food are skipped
    assert {"tiger", "banana"} <= set(corpus.load("embedded", skip=()).nouns)
    assert len(words.nouns) > 250
    assert len(words.adjectives) > 50


def test_wordnet_30():
    """The whole of it, where it is installed: counts and hashes of every file."""
    try:
        place = corpus.find_wordnet()
    except InputError:
        pytest.skip("WordNet is not installed")
    if "WordNet 3.0" not in "".join(corpus._database(place, "data.noun")[:29]):
        pytest.skip("another version of WordNet is installed")
    recorded = json.loads(GOLDEN.read_text())
    files = {}
    for name in ("data.noun", "data.adj"):
        files |= corpus.synsets(corpus._database(place, name))
    for name, facts in recorded["files"].items():
        assert len(files[name]) == facts["derived_from_wordnet30"]
        assert sha256(files[name]) == facts["sha256_sorted_newline_joined"]
    words = corpus.join(files)
    assert sha256(words.nouns) == recorded["totals"]["sha256_nouns_sorted"]
    words = corpus.join(files, first="adjectives")
    assert sha256(words.adjectives) == recorded["totals"]["sha256_adjectives_sorted"]
    assert len(words.nouns) + len(words.adjectives) == recorded["totals"]["derived"]["union"]


def sha256(words):
    return hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()


def test_plain_lists_have_a_word_per_line(tmp_path):
    (tmp_path / "nn_words.txt").write_text("aal\nice_cream\nwet\n")
    (tmp_path / "jj_words.txt").write_text("wet\n\nabelian\n")
    (tmp_path / "readme.txt").write_text("no words")
    found = corpus.load(tmp_path)
    assert found.nouns == ("aal", "ice cream", "wet")
    assert found.adjectives == ("abelian",)
    assert corpus.load(tmp_path, first="adjectives").adjectives == ("wet", "abelian")
    one = corpus.load(tmp_path / "nn_words.txt")
    assert (one.nouns, one.adjectives) == (found.nouns, ())
