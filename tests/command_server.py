"""Starts commands for `tests.commands` by forking: importing JAX and the rest takes seconds, once.

Every line on standard input is a request. {"module": ..., ...} is answered with the id of a process
that goes on as `python -m module` would, `python -c` if that is "-c", or `python` if it is a file;
{"wait": id} with its exit status, or null while it runs.
"""

import gc
import json
import os
import runpy
import signal
import sys
import warnings

import jax
import scipy.optimize
import scipy.stats  # noqa: F401 - so that no child has to
import sklearn.datasets  # noqa: F401
import tensorboardX  # noqa: F401

import adapt_jax.compare
import adapt_jax.doctor.job
import adapt_jax.evaluate.features
import adapt_jax.export.job
import adapt_jax.report.page
import adapt_jax.zero_shot.job  # noqa: F401 - all these are here to have been imported


def serve() -> dict:
    """Answers requests; returns, in the process of a command only, what that command is."""
    running = set()
    gc.set_threshold(50_000, 20, 20)  # as in conftest.py
    gc.freeze()  # or every child would go through what was imported, and have its own copy of it
    for line in sys.stdin:
        request = json.loads(line)
        if "module" in request:
            with warnings.catch_warnings(action="ignore"):  # numpy's threads survive a fork
                answer = os.fork()
            if answer == 0:
                return request
            running.add(answer)
        else:
            ended, status = os.waitpid(request["wait"], os.WNOHANG)
            running.discard(ended)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        print(json.dumps(answer), flush=True)
    for process in running:  # of a test that failed
        os.kill(process, signal.SIGKILL)
    return {}


def become(request: dict) -> None:
    """Runs the command in this process, which is new."""
    os.setsid()
    for descriptor, path in enumerate((request["stdin"], request["stdout"], request["stderr"])):
        opened = os.open(path, os.O_WRONLY if descriptor else os.O_RDONLY)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(request["cwd"])
    adopt(request["env"])
    sys.executable = request["executable"]
    sys.modules.pop(request["module"], None)
    sys.argv = [request["module"], *request["arguments"]]
    if request["module"] == "-c":
        exec(request["arguments"][0], {"__name__": "__main__"})
    elif request["module"].endswith(".py"):
        sys.path[0] = os.path.dirname(os.path.abspath(request["module"]))
        runpy.run_path(request["module"], run_name="__main__")
    else:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def adopt(env: dict[str, str]) -> None:
    """Makes this the environment, for JAX as well, which has read the server's."""
    changed = {k: v for k, v in env.items() if os.environ.get(k) != v}
    changed = {k: v for k, v in changed.items() if k.lower() in jax.config.values}
    os.environ.clear()
    os.environ.update(env)
    for name, value in changed.items():
        now = jax.config.values[name.lower()]
        jax.config.update(name.lower(), type(now)(int(value)) if isinstance(now, int) else value)


if __name__ == "__main__":
    chosen = serve()
    if chosen:
        become(chosen)
