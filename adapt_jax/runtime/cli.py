"""Command lines: reads flags and config files; a mistake in them ends in one line, exit code 2."""

import copy
import difflib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from adapt_jax.core import generator
from adapt_jax.core.errors import InputError
from adapt_jax.core.version import __version__
from adapt_jax.runtime import boundary, compilation, interrupts, processes
from adapt_jax.runtime.config_files import load_config, located

_CONFIG = ("--config", "-config")
_OVERRIDE = re.compile(r"--?config\.([\w.]+)")


def define_config() -> flags.FlagHolder:
    """The --config=FILE.py flag with its --config.key=value overrides; a name will do."""
    return config_flags.DEFINE_config_file(
        "config",
        help_string="Experiment: a file, or the name of one in configs/. "
        "--config.FIELD=VALUE changes a field of it.",
    )


def required(config: flags.FlagHolder):
    """The parsed config; InputError without --config."""
    if config.value is None:
        raise InputError(
            "--config=FILE.py is needed; see configs/, for example configs/digits_adapt.py"
        )
    return config.value


def given() -> tuple[str, ...]:
    """The config's fields that the command line sets."""
    return tuple(config_flags.get_override_values(flags.FLAGS["config"]))


def run(job: Callable[..., Any], *, arguments: bool = False) -> None:
    """Parses the flags, runs `job` and exits: 0 done, else see `boundary`.

    Args:
      job: function to run; with `arguments` it gets the list of positional arguments, else nothing.
      arguments: whether positional arguments are allowed.
    """
    logging.set_verbosity(logging.FATAL)  # Orbax narrates, and raises what it logs as an error
    coordinator = flags.DEFINE_string("coordinator", "", "host:port of process 0, if several.")
    count = flags.DEFINE_integer("num_processes", None, "How many processes there are.")
    index = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.")

    def main(argv):
        if len(argv) > 1 and not arguments:
            raise InputError(f"unexpected argument {argv[1]!r}; options look like --name=value")
        interrupts.heed_sigterm()
        generator.fix_settings()
        processes.start(coordinator.value, count.value, index.value)
        compilation.use_cache()
        job(*([argv[1:]] if arguments else []))

    for module, module_flags in flags.FLAGS.flags_by_module_dict().items():
        if "adapt_jax" in module:
            for (
                flag
            ) in module_flags:  # --help shows those of the main module, and what is called its own
                flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    with boundary.explained(processes.prefix):
        try:
            app.run(main, flags_parser=_parse)
        except InputError:
            raise
        except (jax.errors.JaxRuntimeError, ValueError) as e:  # Orbax wraps what it catches
            processes.leave_if_lost(e)
            raise


def _parse(argv: list[str]) -> list[str]:
    if "--version" in argv:
        print(f"adapt_jax {__version__}")
        raise SystemExit
    if "config" in flags.FLAGS:
        argv = _check_config(argv)
    try:
        return flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as e:
        raise InputError(f"{e}{_of_the_config(e.flagname, argv)}") from e
    except (flags.Error, AttributeError, TypeError, ValueError) as e:
        raise InputError(str(e)) from e
    except SystemExit:  # only --help does that, with an exit code that says it failed
        raise SystemExit(0) from None


def _of_the_config(name: str, argv: list[str]) -> str:
    """What a flag there is not was meant to be, if the config has a field of that name."""
    given = next((a.partition("=")[2] for a in argv if a.startswith("--config=")), "")
    config = load_config(given) if given else {}
    section = next((s for s in config if hasattr(config[s], "keys") and name in config[s]), "")
    field = name if name in config else f"{section}.{name}"
    return f"; config fields are written --config.{field}=..." if name in config or section else ""


def _check_config(argv: list[str]) -> list[str]:
    """The config file loads, and every --config.a.b names one of its fields; by name or path.

    config_flags would answer a missing file or a misspelt field with a traceback. Returns the
    arguments with the file's path in place of its name.
    """
    keys = [match[1] for arg in argv if (match := _OVERRIDE.match(arg))]
    path, config = [], None
    for before, arg in zip(["", *argv], argv):
        flag, equals, value = arg.partition("=")
        if flag in _CONFIG and equals:
            config, arg = load_config(value), f"{flag}={located(value)}"
        elif before in _CONFIG:
            config, arg = load_config(arg), located(arg)
        path.append(arg)
    if config is None and keys:
        raise InputError(f"--config.{keys[0]} needs --config=FILE.py as well; see configs/")
    for key in keys:
        _check_field(config, key)
    return path


def _check_field(config, key: str) -> None:
    level = config
    for part in key.split("."):
        fields = list(level.keys()) if hasattr(level, "keys") else []
        if part not in fields:
            close = difflib.get_close_matches(part, fields, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise InputError(
                f"the config has no field {key!r}{hint}; there are: {', '.join(sorted(fields))}"
            )
        level = level[part]


def override(config: ConfigDict, texts: Sequence[str]) -> ConfigDict:
    """A copy of `config` with the fields in `texts` set, as --config.key=value would.

    Args:
      config: config of any kind.
      texts: changes, each "key=value" or "key=value,key=value,..."; text after a comma that does
        not start with "key=" belongs to the value before it ("detectors=knn?k=5,mahalanobis").

    Raises:
      InputError: not of that form, a field there is not, or a value of the wrong type.
    """
    pairs = _pairs(texts)
    for pair in pairs:
        key, equals, _ = pair.partition("=")
        if not equals:
            raise InputError(f"--set {pair!r}: write it as key=value, for example epochs=5")
        _check_field(config, key)
    overridden = copy.deepcopy(config)  # ConfigDict's own copy shares its placeholders
    arguments = ["", *(f"--config.{pair}" for pair in pairs)]
    values = flags.FlagValues()
    config_flags.DEFINE_config_dict(
        "config", overridden, flag_values=values, sys_argv=arguments, lock_config=False
    )
    try:
        values(arguments)
    except (flags.Error, AttributeError, TypeError, ValueError) as e:
        raise InputError(f"--set: {e}") from e
    return values.config


def overridden(texts: Sequence[str]) -> tuple[str, ...]:
    """The fields that `override` would set."""
    return tuple(pair.partition("=")[0] for pair in _pairs(texts))


def seeds(values: Sequence[int | str]) -> tuple[int, ...]:
    """Seeds of runs, given as numbers or as the words of --seeds.

    Raises:
      InputError: one is no whole number from 0 or is given twice, or there is none.
    """
    texts = [str(value) for value in values]
    read = tuple(int(text) for text in texts if text.isdecimal())
    if not texts or len(set(read)) < len(texts):
        raise InputError(
            "--seeds takes different whole numbers from 0, for example 0,1,2; "
            f"got {','.join(texts) or 'none'}"
        )
    return read


def _pairs(texts: Sequence[str]) -> list[str]:
    return [pair for text in texts for pair in re.split(r",(?=[A-Za-z_][\w.]*=)", text)]
