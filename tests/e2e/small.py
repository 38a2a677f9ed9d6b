"""A run small enough for tests: the demo's config with a tiny network and few steps.

Colours stay as they are: tests/data/augment looks at what changes them.
"""

import socket

from adapt_jax.runtime import config_files
from tests.commands import ROOT, Command

CONFIG = ROOT / "configs" / "digits_adapt.py"
SMALL = {
    "model.width": 8,
    "model.blocks": (1, 0, 0, 0),
    "model.embedding_dim": 16,
    "augment.jitter_probability": 0.0,
    "augment.grayscale": 0.0,
    "batch_size": 64,
    "total_steps": 24,
    "log_every": 4,
    "checkpoint_every": 8,
    "report": False,
}

# A small config as a file, for the commands of pages and notebooks: what they say holds for any
# method, and SupCon's compiles soonest.
FILE = f"""
from adapt_jax.config.defaults import method_params
from adapt_jax.runtime.config_files import load_config
def get_config():
    config = load_config({str(CONFIG)!r})
    config.model.width, config.model.blocks = 8, (1, 0, 0, 0)
    config.augment.jitter_probability = config.augment.grayscale = 0.0
    config.train_data, config.batch_size = "digits:train?classes=0-2&limit=120", 24
    config.test_data = "digits:test?classes=0-2"
    config.ood = "near/digits6-9=digits:test?classes=6-9,far/photos=photos:colour?limit=60"
    config.epochs, config.log_every = 12, 5
    config.method = dict(name="supcon", params=method_params("supcon"))
    return config
"""


def config(recipe=CONFIG.name, **overrides):
    """The small config, of the demo or another file; keys with "__" for the dots."""
    loaded = config_files.load_config(str(CONFIG.with_name(recipe)))
    for key, value in SMALL.items():
        assign(loaded, key, value)
    for key, value in overrides.items():
        assign(loaded, key.replace("__", "."), value)
    return loaded


def assign(loaded, key, value):
    *parents, last = key.split(".")
    for parent in parents:
        loaded = loaded[parent]
    loaded[last] = value


def arguments(workdir, recipe=CONFIG.name, **overrides):
    """The same as a command's module and arguments."""
    merged = SMALL | {k.replace("__", "."): v for k, v in overrides.items()}
    flags = [f"--config.{key}={value}" for key, value in merged.items()]
    return [
        "adapt_jax.train",
        f"--config={CONFIG.with_name(recipe)}",
        f"--workdir={workdir}",
    ] + [flag.replace(" ", "") for flag in flags]


def start_together(commands, env, devices=1):
    """Starts one process per command, on `devices` CPU devices each; several find each other."""
    env = env | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    if len(commands) == 1:
        return [Command(*commands[0], env=env)]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    env |= {"ADAPT_JAX_COORDINATOR": address, "ADAPT_JAX_NUM_PROCESSES": str(len(commands))}
    return [Command(*command, f"--process_id={i}", env=env) for i, command in enumerate(commands)]


def finish(started, timeout=240):
    """Return codes and error outputs of all processes."""
    ended = [p.communicate(timeout=timeout) for p in started]
    return [p.returncode for p in started], [err for _, err in ended]
