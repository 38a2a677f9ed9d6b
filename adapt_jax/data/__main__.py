"""`python -m adapt_jax.data list | download | verify`: benchmarks, and weights to start from.

list                               all suites, archives and weights, and what is on this machine
list openood_cifar10               its sets, counts and sources
list weights                       networks for model.pretrained: source, licence, size, hash
download openood_cifar10 mnist     suites and archives, into $ADAPT_JAX_DATA or ./data
download SUITE --list-urls         only prints the URLs and where their files belong
verify openood_cifar10             checks that every listed file exists and every count is right
verify folder:birds/train          checks that every image of a source can be decoded
"""

import argparse
import contextlib
import difflib
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from adapt_jax.core.errors import InputError
from adapt_jax.core.redaction import redacted
from adapt_jax.data import sources, suites
from adapt_jax.data.download import catalogue, store
from adapt_jax.data.download.catalogue import ARCHIVES, NEEDS, Archive
from adapt_jax.data.download.weights import HUB, WEIGHTS
from adapt_jax.data.set_names import SHIFTED
from adapt_jax.runtime import boundary


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit code: 0, or 2 after one sentence on stderr."""
    arguments = _parser().parse_args(argv)
    if arguments.root:
        os.environ["ADAPT_JAX_DATA"] = arguments.root  # sources and hints look there as well
    try:
        with boundary.explained():
            arguments.job(arguments)
    except SystemExit as end:
        return int(end.code)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m adapt_jax.data", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    jobs = parser.add_subparsers(required=True, metavar="list|download|verify")
    for name, job, count in (
        ("list", show, "*"),
        ("download", fetch, "+"),
        ("verify", verify, "+"),
    ):
        command = jobs.add_parser(name, help=job.__doc__.splitlines()[0])
        command.set_defaults(job=job)
        command.add_argument(
            "names", nargs=count, metavar="NAME", help="a suite, an archive, or a source"
        )
        command.add_argument("--root", help="instead of $ADAPT_JAX_DATA or ./data")
        if job is fetch:
            command.add_argument("--mirror", default="", help="URL prefix to try first")
            command.add_argument("--sha256", action="append", default=[], metavar="NAME=HEX")
            command.add_argument("--keep", action="store_true", help="keep archives once unpacked")
            command.add_argument("--list-urls", action="store_true", help="fetch nothing")
    return parser


def show(arguments) -> None:
    """Shows suites and archives."""
    root = catalogue.data_root()
    if not arguments.names:
        print(f"data root: {root}\n\nsuites")
        for name, suite in suites.SUITES.items():
            here = [store.present(ARCHIVES[a], root) for a in NEEDS.get(name, ())]
            state = f"{sum(here)} of {len(here)} archives here" if here else "from TFDS"
            print(f"  {name:<23}{len(suite.sets)} sets  {state}")
        print("\narchives")
        for archive in ARCHIVES.values():
            print(f"  {archive.name:<19}{_state(archive):<9}{archive.what}")
        print("\nweights, for model.pretrained; `list weights` says more")
        for name, weights in WEIGHTS.items():
            print(f"  {name:<24}{_state(weights.archive):<9}{weights.archive.what}")
    for name in arguments.names:
        if name == "weights":
            _show_weights()
            continue
        suite, archives = _find(name)
        if suite is not None:
            for part in (*suite.splits, *suite.sets):
                count = f"{part.count:>9,}" if part.count else f"{'?':>9}"
                label = f"{part.group}/{part.name}" if part.group else part.name
                print(f"{label:<27}{count}  {part.source}")
        for archive in archives:
            print(f"{archive.name:<19}{_state(archive):<9}{archive.what}; {archive.licence}")


def _show_weights() -> None:
    """What is known of every network, and what CLIP's names are."""
    for name, weights in WEIGHTS.items():
        archive = weights.archive
        size = f"{weights.mebibytes} MiB, " if weights.mebibytes else ""
        digits = f"sha256 {archive.sha256}..." if archive.sha256 else "no published hash"
        print(f"{name}  ({_state(archive)}): {archive.what}; {archive.licence}; {size}{digits}")
        print(f"    {archive.url or archive.by_hand}\n    for {weights.fits}")
    print("\nFrom the Hugging Face hub, for clip.path of zero-shot configs:")
    for model in HUB:
        print(f"{model.name}: {model.what}; {model.licence}")


def fetch(arguments) -> None:
    """Downloads and unpacks."""
    root = catalogue.data_root()
    archives = {archive.name: archive for name in arguments.names for archive in _find(name)[1]}
    digests = dict(_digest(text, archives) for text in arguments.sha256)
    if arguments.list_urls:
        for archive in archives.values():
            where = root / store.INBOX / archive.filename
            print(f"{archive.url} -> {where}" if archive.url else f"{archive.by_hand}")
        return
    for name in arguments.names:
        if name in suites.SUITES and name not in NEEDS:
            print(f"{name}: TensorFlow Datasets prepares its sets when they are first used")
    failed = []
    for archive in archives.values():
        if store.present(archive, root):
            print(f"{archive.name}: is in {store.place(archive, root)}")
            continue
        try:
            with _bar(archive.name) as progress:
                digest, keep = digests.get(archive.name), arguments.keep
                mirror = arguments.mirror
                store.obtain(
                    archive, root, mirror=mirror, sha256=digest, keep=keep, progress=progress
                )
            print(f"{archive.name}: now in {store.place(archive, root)}")
        except InputError as error:  # the other archives may well be there
            failed.append(error)
            reason = redacted(str(error)).removeprefix(f"{archive.name}: ")
            print(f"{archive.name}: {reason}", file=sys.stderr)
    if failed:
        raise InputError(f"{len(failed)} of {len(archives)} archives are missing; see above")


def verify(arguments) -> None:
    """Checks files against the record, lists and counts; decodes the images of a source."""
    root, wrong, checked = catalogue.data_root(), 0, 0

    def report(name: str, problem: str, fine: str) -> None:
        nonlocal wrong, checked
        checked, wrong = checked + 1, wrong + bool(problem)
        print(f"{'WRONG' if problem else 'ok':<7}{name:<26} {problem or fine}", flush=True)

    for name in arguments.names:
        if ":" in name:
            dataset = sources.load(name, 1, at_most=0)
            images = dataset.images
            problems = list(images.problems())
            for problem in problems:
                print(problem)
            count = f"{len(images):,} images{dataset.note}"
            report(name, f"{len(problems):,} of {count}" if problems else "", count)
            continue
        suite, archives = _find(name)
        for archive in archives:
            recorded = store.record(root).get(archive.name, {}).get("sha256", "not recorded")
            report(archive.name, store.verify(archive, root), f"sha256 {recorded}")
        names: dict[str, Any] = {}
        for part in () if suite is None else (*suite.splits, *suite.sets):
            if part.source.startswith("tfds:"):
                print(f"{'-':<7}{part.name:<27}TensorFlow Datasets checks {part.source} itself")
                continue
            try:
                listed = sources.names(part.source)
                suites.check_count(part, len(listed), name)
            except InputError as error:
                report(part.name, str(error), "")
                continue
            report(part.name, "", f"{len(listed):,} images")
            names["id" if part.name == "id_test" else part.name] = listed
        if suite is not None:
            _hashes(suite, names)
    if wrong:
        raise InputError(f"{wrong} of {checked} checks failed; see above")


def _hashes(suite: suites.Suite, names: dict) -> None:
    """What results of the suite have as `lists_sha256`, where all its lists are here."""
    plain = ["id", *(s.name for s in suite.sets if s.group != SHIFTED)]
    full = ["id", *(s.name for s in suite.sets)]
    for kind, keys in {"": plain, " (full-spectrum)": full}.items():
        if names.keys() >= set(keys) and (not kind or full != plain):
            names_sha256 = suites.names_sha256({key: names[key] for key in keys})
            print(f"{suite.name}{kind}: lists_sha256 {names_sha256}")


def _find(name: str) -> tuple[suites.Suite | None, list[Archive]]:
    """The suite of that name, or None, and the archives it needs or is."""
    if name in suites.SUITES:
        return suites.resolve(name), [ARCHIVES[a] for a in NEEDS.get(name, ())]
    if name in ARCHIVES:
        return None, [ARCHIVES[name]]
    if name in WEIGHTS:
        return None, [WEIGHTS[name].archive]
    close = difflib.get_close_matches(name, [*suites.SUITES, *ARCHIVES, *WEIGHTS], n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise InputError(f"no suite, archive or weights are called {name!r}{hint}; see `list`")


def _digest(text: str, archives: dict) -> tuple[str, str]:
    name, _, digest = text.partition("=")
    if name not in archives or len(digest) != 64 or set(digest.lower()) - set("0123456789abcdef"):
        raise InputError(
            f"--sha256={text}: expected NAME=HEX, 64 digits, NAME one of {', '.join(archives)}"
        )
    return name, digest


def _state(archive: Archive) -> str:
    return "here" if store.present(archive, catalogue.data_root()) else "missing"


@contextlib.contextmanager
def _bar(name: str):
    """A progress bar on stderr, as a function of (done, total)."""
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


if __name__ == "__main__":
    sys.exit(main())
