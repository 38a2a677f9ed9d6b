"""Every `python -m adapt_jax.X ...` a page or a config's header shows would still be understood."""

import ast
import copy
import functools
import importlib.util
import pathlib
import re
import shlex
from typing import NamedTuple

import pytest
from absl import flags
from ml_collections import config_flags

from adapt_jax import detectors, zero_shot_detectors
from adapt_jax.data import sources, suites
from adapt_jax.data.download import catalogue
from adapt_jax.runtime import cli, config_files

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("configs/*.py"))]
ELSEWHERE = {"adapt_jax.results": "adapt_jax.results.merge"}  # where a job's flags are defined
POSITIONAL = {f"adapt_jax.{m}" for m in ("results", "predict", "profiling", "reproduce")}


class Command(NamedTuple):
    page: str
    module: str
    arguments: tuple[str, ...]


def commands():
    for page in PAGES:
        text = re.sub(r" *\\\n\s*", " ", page.read_text())
        for found in re.finditer(r"-m (adapt_jax[\w.]*)([^\n`|]*)", text):
            rest = re.sub(r"\$\{?\w+\}?", "0", found[2])  # a shell's variable stands for some value
            words = []
            for word in shlex.split(rest, comments=True):
                if word in ("&", ";", "...") or not word.strip("[]."):
                    break
                closes = "(" not in word  # a sentence in brackets, not a tuple
                word = word.rstrip(")") if closes else word
                words.append(word.strip("[]") if word.startswith("[") else word)
            yield Command(page.name, found[1].rstrip("."), tuple(words))


COMMANDS = sorted(set(commands()))


def test_there_are_commands():
    assert len(COMMANDS) > 60
    assert {c.module for c in COMMANDS} >= {f"adapt_jax.{m}" for m in ("train", "data", "compare")}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: f"{c.page}: {c.module[10:]}")
def test_the_command_is_understood(command):
    module = ELSEWHERE.get(command.module, command.module)
    given, own, plain = [], [], []
    for word in command.arguments:
        kind = given if re.match(r"--config[.=]", word) else own if word.startswith("--") else plain
        kind.append(word)
    source = source_of(module)
    if "argparse" in source:
        known = {node.value for node in nodes(source, ast.Constant)}
        assert {word.partition("=")[0] for word in own} <= known
        names = {*suites.SUITES, *catalogue.ARCHIVES, "SUITE", *known}
        sources = {word for word in plain if ":" in word}
        assert module != "adapt_jax.data" or set(plain) - sources <= names
        return
    values = flags_of(module)
    parsed = values(["", *(word for word in own if word != "--help")])
    assert len(parsed) == 1
    assert not plain or command.module in POSITIONAL
    zero_shot = module.endswith("zero_shot")
    if "detectors" in values and values["detectors"].present:
        detectors.parse(values["detectors"].value)
    if "suite" in values and values["suite"].present:
        suites.resolve(values["suite"].value)
    for path in values["configs"].value if "configs" in values else ():
        assert (ROOT / path).exists()
    for text in values["set"].value or () if "configs" in values else ():
        cli.override(config_of(values["configs"].value[0]), [text])
    if given:
        check_config(given, zero_shot)


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        used = re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text(), re.MULTILINE)
        assert set(used) <= targets, page.name


def check_config(arguments, zero_shot):
    """The file loads, and every override names a field and has a value of its type."""
    (path,) = [a.partition("=")[2] for a in arguments if a.startswith("--config=")] or [""]
    if not path.startswith("configs/"):  # FILE.py and the like
        return
    config = copy.deepcopy(config_of(path))
    overrides = ["", *(a for a in arguments if a.startswith("--config."))]
    for override in overrides[1:]:
        cli._check_field(config, override.removeprefix("--config.").partition("=")[0])
    values = flags.FlagValues()
    config_flags.DEFINE_config_dict(
        "config", config, flag_values=values, sys_argv=overrides, lock_config=False
    )
    values(overrides)
    (zero_shot_detectors if zero_shot else detectors).parse(config.detectors)
    suites.resolve(config.ood)
    for field in ("train_data", "test_data", "val_data"):
        if config.get(field):
            sources.parse(config[field])


@functools.cache
def config_of(path):
    return config_files.load_config(str(ROOT / path))


@functools.cache
def source_of(module):
    found = importlib.util.find_spec(module)
    assert found, f"there is no {module}"
    file = pathlib.Path(found.origin)
    return (file.with_name("__main__.py") if file.name == "__init__.py" else file).read_text()


def nodes(source, kind):
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, kind)]


def flags_of(module):
    """The flags a job defines when it is run as a program, which it is not here."""
    values = flags.FlagValues()
    for call in nodes(source_of(module) + source_of("adapt_jax.runtime.cli"), ast.Call):
        kind = getattr(call.func, "attr", "")
        if kind.startswith("DEFINE_") and getattr(call.func.value, "id", "") == "flags":
            getattr(flags, kind)(call.args[0].value, None, "", flag_values=values)
    return values
