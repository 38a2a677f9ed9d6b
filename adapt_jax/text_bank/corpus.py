"""Candidate negative labels: the word lists of XueJiang16/NegLabel, or their like.

NegLabel's `txtfiles/` hold the first word of every synset of WordNet 3.1's lexicographer files, one
text file each (noun.act.txt, ..., adj.ppl.txt), without animals and food. `load` reads such a
folder as it is, or derives the lists from the database files data.noun and data.adj that Debian and
NLTK distribute: from WordNet 3.0, 69,914 words, of which 69,766 are among the official 70,000.
"""

import csv
import os
import sys
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from adapt_jax.core.errors import InputError
from adapt_jax.text_bank import embedded

_NOUN_FILES = """
    Tops act animal artifact attribute body cognition communication event feeling food group
    location motive object person phenomenon plant possession process quantity relation shape
    state substance time
"""
# WordNet's lexicographer files by number, those of adverbs and verbs left out (lexnames(5WN)).
LEXICOGRAPHER_FILES = {0: "adj.all", 1: "adj.pert", 44: "adj.ppl"} | {
    number: f"noun.{name}" for number, name in enumerate(_NOUN_FILES.split(), start=3)
}
# Not among the official files: they overlap ImageNet's classes.
SKIPPED = ("noun.animal", "noun.food")

# Lists with a word per line that are no lexicographer files: what their words are. The first four
# are YBZh/OpenOOD-VLM's corpus_datasets/wordnet and corpus_datasets/part_of_speech_tagging.
PLAIN = {
    "wordnet_nouns": "noun", "wordnet_adjs": "adj", "nn_words": "noun", "jj_words": "adj",
    "nouns": "noun", "adjectives": "adj",
}  # fmt: skip

Files = Mapping[str, Iterable[str]]  # words in order, by name of the file: "noun.act", "adj.all"


class Corpus(NamedTuple):
    """Words in order, none twice, none both noun and adjective; `source` says where from."""

    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]
    source: str = ""


def load(
    place: str | os.PathLike = "wordnet",
    skip: str | Collection[str] = SKIPPED,
    first: str = "nouns",
    lost_heads: bool = True,
) -> Corpus:
    """Reads the candidates.

    Args:
      place: source of the words: "embedded"; "wordnet" to look for its database in the usual
        places; or a path: a folder with data.noun and data.adj, NLTK's wordnet.zip, a folder of
        official text files or of plain lists (`PLAIN`), or one text file of nouns, a word a line.
      skip: files to leave out, as a comma-separated string or a collection.
      first: kind of a word that is both, "nouns" or "adjectives". The official program takes files
        in the order of a directory listing, so it may be either.
      lost_heads: whether to leave out the same words as the official parser, see `synsets`.

    Raises:
      InputError: nothing there; the message says where it looked and how to get WordNet.
    """
    if place == "embedded":
        return join(embedded.FILES, skip, first, "embedded")
    path = find_wordnet() if place == "wordnet" else Path(place).expanduser()
    if not path.exists():
        raise InputError(f"there is no word list {path}; {_HELP}")
    if path.is_dir() and not (path / "data.noun").exists():
        return join(_text_files(path), skip, first, str(path))
    if path.suffix == ".txt":
        return join({f"noun.{path.stem}": _lines(path)}, skip, first, str(path))
    nouns, adjectives = (_database(path, name) for name in ("data.noun", "data.adj"))
    files = synsets(nouns, str(path / "data.noun"), lost_heads)
    files |= synsets(adjectives, str(path / "data.adj"), lost_heads)
    return join(files, skip, first, str(path))


def join(
    files: Files,
    skip: str | Collection[str] = SKIPPED,
    first: str = "nouns",
    source: str = "",
) -> Corpus:
    """One corpus of several files, taken by name; the first occurrence of a word stays.

    Raises:
      InputError: `first` or a file to skip is unknown, or no word is left.
    """
    order = {"nouns": ("noun", "adj"), "adjectives": ("adj", "noun")}.get(first)
    if order is None:
        raise InputError(f"first must be 'nouns' or 'adjectives', got {first!r}")
    skip = [name for name in skip.split(",") if name] if isinstance(skip, str) else skip
    if unknown := set(skip) - set(files) - set(LEXICOGRAPHER_FILES.values()):
        raise InputError(f"cannot skip {', '.join(sorted(unknown))}; there are: {', '.join(files)}")
    seen: set[str] = set()
    words: dict[str, list[str]] = {"noun": [], "adj": []}
    for kind in order:
        for name in sorted(files):
            if name.partition(".")[0] == kind and name not in skip:
                fresh = [w for w in dict.fromkeys(files[name]) if w not in seen]
                words[kind] += fresh
                seen.update(fresh)
    if not seen:
        raise InputError(
            f"no word is left of {source or 'the files'}; skipped: {', '.join(skip) or 'none'}"
        )
    return Corpus(tuple(words["noun"]), tuple(words["adj"]), source)


def without(corpus: Corpus, names: Iterable[str]) -> Corpus:
    """Drops words spelled exactly like an ID class: OpenOOD-VLM does, NegLabel does not."""
    drop = set(names)
    nouns, adjectives = (
        tuple(w for w in words if w not in drop) for words in (corpus.nouns, corpus.adjectives)
    )
    return corpus._replace(nouns=nouns, adjectives=adjectives)


def synsets(
    lines: Iterable[str], source: str = "data", lost_heads: bool = True
) -> dict[str, list[str]]:
    """The first word of every synset of a database file (wndb(5WN)), by lexicographer file.

    Lower case, spaces for underscores, without adjective markers such as `(a)`, in file order, no
    repeats within a file, none of one letter.

    Args:
      lines: lines of data.noun or data.adj, as text.
      source: name of the file for error messages.
      lost_heads: whether to leave out, in adj.all, head synsets without a direct antonym earlier in
        the file. NegLabel's parser lost the line that opens each antonym cluster; this imitates it.

    Raises:
      InputError: a line is not in WordNet's format; it is named.
    """
    files: dict[str, dict[str, None]] = {}
    for number, line in enumerate(lines, start=1):
        if line.startswith(" ") or not line.strip():  # the licence at the head of the file
            continue
        try:
            offset, lexfile, kind, count, word, *rest = line.partition(" | ")[0].split()
            name = LEXICOGRAPHER_FILES[int(lexfile)]
            pointers = rest[2 * int(count, 16) - 1 :]  # after the word's id and further such pairs
            antonyms = [int(target) for mark, target in _pairs(pointers) if mark == "!"]
            head = name == "adj.all" and kind == "a"
            lost = head and not any(target < int(offset) for target in antonyms)
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{source}, line {number}: not a line of WordNet's data files: {line[:60]!r}"
            ) from error
        for marker in ("(a)", "(p)", "(ip)"):
            word = word.removesuffix(marker)
        word = word.replace("_", " ").lower()
        if len(word) > 1 and not (lost and lost_heads):
            files.setdefault(name, {})[word] = None
    return {name: list(words) for name, words in files.items()}


def find_wordnet() -> Path:
    """The first WordNet database in the usual places.

    Raises:
      InputError: none; the message lists the places and says how to get it.
    """
    env = os.environ
    places = [Path(env["WNSEARCHDIR"])] if env.get("WNSEARCHDIR") else []
    places += [Path(env["WNHOME"], "dict")] if env.get("WNHOME") else []
    places += map(Path, _SYSTEM)
    nltk = [Path(p) for p in env.get("NLTK_DATA", "").split(os.pathsep) if p]
    nltk += [Path.home() / "nltk_data"]
    nltk += [Path(sys.prefix, part, "nltk_data") for part in ("", "share", "lib")]
    nltk += [Path(root, "nltk_data") for root in _SHARED]
    places += [Path(root, "corpora/wordnet") for root in dict.fromkeys(nltk)]
    for place in places:
        for candidate in (place, place.with_name(f"{place.name}.zip")):  # NLTK keeps the zip file
            if candidate.is_file() or (candidate / "data.noun").is_file():
                return candidate
    raise InputError(f"there is no WordNet in {', '.join(map(str, places))}; {_HELP}")


_SYSTEM = ("/usr/share/wordnet", "/usr/local/WordNet-3.0/dict")  # Debian's; Princeton's own
_SHARED = ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")
_HELP = (
    "install it with `apt install wordnet-base` or `python -m nltk.downloader wordnet`, or give a "
    "folder with its data.noun and data.adj, or with NegLabel's text files (noun.act.txt, ...), or "
    "'embedded' for a small list"
)


def _pairs(pointers: list[str]) -> Iterable[tuple[str, str]]:
    """(symbol, offset) of every pointer: their number, then four fields each."""
    number, *fields = pointers
    if len(fields) != 4 * int(number):
        raise ValueError("pointers are missing")
    return zip(fields[::4], fields[1::4])


def _database(path: Path, name: str) -> list[str]:
    """The lines of a database file in a folder or a zip file."""
    try:
        if path.is_dir():
            return (path / name).read_text("utf-8").splitlines()
        with zipfile.ZipFile(path) as archive:
            member = next((n for n in archive.namelist() if n.split("/")[-1] == name), name)
            return archive.read(member).decode("utf-8").splitlines()
    except (OSError, KeyError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise InputError(f"cannot read WordNet's {name} in {path} ({error}); {_HELP}") from error


def _text_files(folder: Path) -> dict[str, list[str]]:
    """Every noun.*.txt and adj.*.txt, or the plain lists, a word per line."""
    files = {}
    for path in sorted(folder.glob("*.txt")):
        if path.name.split(".")[0] in ("noun", "adj"):
            files[path.name.removesuffix(".txt")] = _lines(path)
        elif path.stem in PLAIN:
            files[f"{PLAIN[path.stem]}.{path.stem}"] = _lines(path)
    if not files:
        raise InputError(
            f"{folder} has no data.noun, no noun.*.txt or adj.*.txt, and none of the lists "
            f"{', '.join(f'{name}.txt' for name in PLAIN)}; {_HELP}"
        )
    return files


def ready(place: str | os.PathLike) -> dict[str, tuple[str, ...]]:
    """A list of words that need not be mined, by kind ("noun", "adj") in the order of the file.

    Args:
      place: text file with a noun per line, or a .csv file with a column `word` and, if there are
        adjectives, a column `kind` ("noun" or "adjective"), such as a run's text/negatives.csv.

    Raises:
      InputError: no such file, no word in it, or a column that is missing or says something else.
    """
    path = Path(place).expanduser()
    if not path.is_file():
        raise InputError(f"config field negatives.file: there is no file {path}")
    lines = _lines(path)
    words = [("noun", word) for word in lines]
    if path.suffix.lower() == ".csv":
        rows = list(csv.DictReader(lines))
        if not rows or "word" not in rows[0]:
            raise InputError(f"{path} has no column 'word'; its first line names the columns")
        words = [(_KINDS.get(row.get("kind") or "noun", ""), row["word"] or "") for row in rows]
        if not all(kind and word for kind, word in words):
            raise InputError(f"{path}: a line has no word, or a kind that is no noun or adjective")
    if not words:
        raise InputError(f"{path} has no word in it")
    kinds = dict.fromkeys(kind for kind, _ in words)
    return {kind: tuple(dict.fromkeys(w for k, w in words if k == kind)) for kind in kinds}


_KINDS = {"noun": "noun", "adjective": "adj", "adj": "adj"}


def _lines(path: Path) -> list[str]:
    """The words of a text file, one per line, spaces for the underscores of WordNet's lemmas."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file (UTF-8): {error.reason}") from error
    return [word for line in lines if (word := line.strip().replace("_", " "))]
