"""The project's commands as processes of their own, as `python -m adapt_jax.X ...` starts them."""

import contextlib
import functools
import json
import os
import pathlib
import shlex
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).parents[1]
PYTHON = sys.executable  # which tests replace by an `interpreter`


class Command:
    """A started command, with what tests use of a `subprocess.Popen`."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        env: dict[str, str] | None = None,
        cwd: pathlib.Path = ROOT,
        stdin: str | pathlib.Path = os.devnull,
        executable: str = PYTHON,
    ):
        """Starts `python -m module arguments...` in a folder, the project's root by default.

        It reads standard input from the file `stdin`, which may be a named pipe, and takes
        `executable` for its `sys.executable`.
        """
        self.returncode, self._files = None, []
        for _ in ("stdout", "stderr"):
            self._files.append(tempfile.NamedTemporaryFile("r"))  # noqa: SIM115
        names = dict(zip(("stdout", "stderr"), (file.name for file in self._files)))
        words = [str(word) for word in arguments]
        env = dict(os.environ if env is None else env)
        places = {"cwd": str(cwd), "stdin": str(stdin), "executable": executable, **names}
        self.pid = _ask({"module": module, "arguments": words, "env": env, **places})

    def poll(self) -> int | None:
        """Its exit code, minus a signal's number if that ended it; None while it runs."""
        if self.returncode is None:
            self.returncode = _ask({"wait": self.pid})
        return self.returncode

    def communicate(self, timeout: float = 240) -> tuple[str, str]:
        """Waits for its end; what it wrote to standard output and to standard error."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        return self.written()

    def written(self) -> tuple[str, str]:
        """What it has written so far."""
        return tuple(pathlib.Path(file.name).read_text() for file in self._files)

    def send_signal(self, number: int) -> None:
        """Nothing if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """As kill -9."""
        self.send_signal(signal.SIGKILL)


def run(module: str, *arguments: str, **where):
    """Runs it to its end, with the `env` and `cwd` of a `Command`; a `CompletedProcess`."""
    command = Command(module, *arguments, **where)
    out, err = command.communicate()
    return subprocess.CompletedProcess([module, *arguments], command.returncode, out, err)


@contextlib.contextmanager
def interpreter(folder: pathlib.Path):
    """The path of a `python`, made in the folder, whose processes are forked as commands are.

    For programs that start Python themselves: it takes `-m module ...` and `-c program ...`, its
    processes have it as their `sys.executable`, and what they write is there when they have ended.
    """
    path = folder / "python"

    class Answer(socketserver.StreamRequestHandler):
        def handle(self):
            (flag, *words), env, cwd = json.loads(self.rfile.readline())
            if flag != "-m":
                words = [flag, *words]
            command = Command(*words, env=env, cwd=cwd, executable=str(path))
            said = command.communicate(timeout=600)
            self.wfile.write(json.dumps((command.returncode, *said)).encode())

    with socketserver.ThreadingTCPServer(("localhost", 0), Answer) as server:
        asking = shlex.join(
            [sys.executable, "-S", "-c", _ASK.format(port=server.server_address[1])]
        )
        path.write_text(f'#!/bin/sh\nexec {asking} "$@"\n')
        path.chmod(0o755)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        try:
            yield path
        finally:
            server.shutdown()


_ASK = """
import json, os, signal, socket, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # its process is told otherwise, and it ends after it
with socket.create_connection(("localhost", {port})) as server, server.makefile("rw") as asked:
    asked.write(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]) + chr(10))
    asked.flush()
    code, out, err = json.loads(asked.read())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""
_one_at_a_time = threading.Lock()


def _ask(request: dict):
    with _one_at_a_time:
        server = _server()
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())


@functools.cache
def _server() -> subprocess.Popen:
    """Started once; it ends with this process, because its standard input then does."""
    return subprocess.Popen(
        [PYTHON, "-m", "tests.command_server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
