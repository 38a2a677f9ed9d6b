"""Who waits for other processes says so, says how to run alone, and does not wait forever."""

import os
import threading

import jax
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.runtime import processes

SLURM = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"}
MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}
POD = {"TPU_WORKER_HOSTNAMES": "a,b"}
BY_HAND = {
    "ADAPT_JAX_COORDINATOR": "localhost:1234",
    "ADAPT_JAX_NUM_PROCESSES": "2",
    "ADAPT_JAX_PROCESS_ID": "0",
}


@pytest.fixture
def ended(monkeypatch):
    """Connecting waits until the process would have ended; the exit codes."""
    codes, over = [], threading.Event()

    def end(code):
        codes.append(code)
        over.set()

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(jax.distributed, "initialize", lambda **given: over.wait(60))
    monkeypatch.setattr(processes, "QUIET", 0)
    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    return codes


@pytest.mark.parametrize(
    ("surroundings", "word"),
    [
        (SLURM, "SLURM_STEP_NUM_TASKS=4 says that this is one of 4 processes"),
        (MPI, "OMPI_COMM_WORLD_SIZE=2 says that this is one of 2 processes"),
        (POD, "TPU_WORKER_HOSTNAMES=a,b says"),
        (BY_HAND, "this is process 0 of 2"),
    ],
)
def test_who_waits_says_so(surroundings, word, ended, monkeypatch, capsys):
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    processes.start()
    waiting, gave_up = capsys.readouterr().err.splitlines()
    assert waiting.startswith("waiting for other processes")
    assert word in waiting
    assert "set ADAPT_JAX_NUM_PROCESSES=1 to run it alone" in waiting
    assert gave_up.startswith("error: the other processes did not come: ")
    assert ended == [processes.EXIT_LOST]


@pytest.mark.parametrize("surroundings", [SLURM, MPI, POD, {}])
def test_one_process_is_alone_whatever_the_surroundings_say(surroundings, monkeypatch):
    for name, value in (surroundings | {"ADAPT_JAX_NUM_PROCESSES": "1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "_connect", None)
    processes.start()


def test_a_coordinator_that_does_not_answer(ended, monkeypatch, capsys):
    for name, value in (BY_HAND | {"ADAPT_JAX_PROCESS_ID": "1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ADAPT_JAX_COORDINATOR", "localhost:1")
    with pytest.raises(InputError, match="process 0 does not answer at localhost:1"):
        processes.start()
    assert "does not answer yet" in capsys.readouterr().err
