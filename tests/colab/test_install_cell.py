"""The notebooks' install cell, run with stand-ins for Colab's server, pip and packages."""

import contextlib
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import urllib.parse

import nbformat
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "colab"
INSTALLED = {
    "jax": "0.7.2",
    "jaxlib": "0.7.2",
    "flax": "0.11.2",
    "numpy": "2.1.3",
    "pillow": "11.3.0",
}
# What pip was told, and what it was to keep.
PIP = """
import pathlib, sys
(told,) = (word for word in sys.argv if word.startswith("--constraint="))
kept = pathlib.Path(told.partition("=")[2]).read_text()
words = [word for word in sys.argv[1:] if word != told]
pathlib.Path("pip.txt").write_text("\\n".join([*words, kept]))
"""


def cell(name):
    cells = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    return next(c.source for c in cells if c.cell_type == "code" and "REPOSITORY" in c.source)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A bare repository whose branch a/b is not the default one; its address."""
    work, bare = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("owner") / "project"
    git = ["git", "-C", str(work), "-c", "user.name=me", "-c", "user.email=me@example.org"]
    (work / "configs").mkdir()
    for branch in ("main", "a/b"):
        (work / "configs/digits_adapt.py").write_text(branch)
        made = [["init", "-q", "-b", branch]] if branch == "main" else [["checkout", "-qb", branch]]
        for command in (*made, ["add", "."], ["commit", "-qm", branch]):
            subprocess.run([*git, *command], check=True)
    subprocess.run([*git, "checkout", "-q", "main"], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True)
    return bare.as_uri()


@contextlib.contextmanager
def colab(answer):
    """Where Colab's server would be; it answers with the JSON of `answer`."""

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/api/sessions" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"COLAB_JUPYTER_IP": "127.0.0.1", "KMP_TARGET_PORT": str(server.server_port)}
        server.shutdown()


def run(cwd, env, installed=INSTALLED, repository=""):
    """The cell in an interpreter that knows `installed` and the stand-in for pip."""
    packages = cwd.parent / f"{cwd.name}-packages"
    (packages / "pip").mkdir(parents=True)
    (packages / "pip/__init__.py").touch()
    (packages / "pip/__main__.py").write_text(PIP)
    for name, version in installed.items():
        (packages / f"{name}-{version}.dist-info").mkdir()
        metadata = packages / f"{name}-{version}.dist-info/METADATA"
        metadata.write_text(f"Name: {name}\nVersion: {version}\n")
    source = cell("quickstart").replace('REPOSITORY = ""', f"REPOSITORY = {repository!r}")
    command = [sys.executable, "-S", "-c", source]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(packages), **env}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def told_pip(root):
    return (root / "pip.txt").read_text().splitlines()


def test_both_notebooks_install_alike():
    assert cell("quickstart") == cell("zero_shot")
    assert 'REPOSITORY = ""' in cell("quickstart")


@pytest.mark.parametrize("branch", ["main", "a/b"])
def test_it_clones_where_colab_opened_the_notebook(repository, branch, tmp_path):
    opened = f"{repository}/blob/{branch}/colab/quickstart.ipynb"
    path = "/fileId=" + urllib.parse.quote(opened, safe="")
    with colab([{"path": path, "name": "quickstart.ipynb"}]) as env:
        done = run(tmp_path, env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "adapt-jax/configs/digits_adapt.py").read_text() == branch
    kept = ["jax==0.7.2", "jaxlib==0.7.2", "flax==0.11.2", "numpy==2.1.3"]
    words = ["install", "--quiet", "--editable", "."]
    assert told_pip(tmp_path / "adapt-jax") == [*words, *kept]


@pytest.mark.parametrize("folder", [".", "colab"])
def test_in_a_clone_it_installs_the_clone(folder, tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/digits_adapt.py").touch()
    (tmp_path / "adapt_jax").mkdir()  # there to be imported, but not installed
    (tmp_path / "colab").mkdir()
    done = run(tmp_path / folder, {}, installed={"numpy": "2.1.3"})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "installed adapt_jax\n"
    assert told_pip(tmp_path)[2:] == ["--editable", ".", "numpy==2.1.3"]


def test_where_it_is_installed_nothing_happens(tmp_path):
    (tmp_path / "adapt-jax").mkdir()
    done = run(tmp_path, {}, installed={"adapt_jax": "0.1.0"})
    assert done.stdout == "adapt_jax was installed already\n", done.stderr
    assert not (tmp_path / "adapt-jax/pip.txt").exists()


@pytest.mark.parametrize("answer", [[], [{"path": "fileId=1AbC"}], [{"path": None}], {"a": 1}])
def test_it_says_what_to_do_where_nothing_is_known(answer, tmp_path):
    with colab(answer) as env:
        done = run(tmp_path, env)
    assert done.returncode == 1
    assert "into REPOSITORY, or a clone into the folder adapt-jax" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_answer_is_the_same_and_a_given_repository_wins(repository, tmp_path):
    nobody = {"COLAB_JUPYTER_IP": "127.0.0.1", "KMP_TARGET_PORT": "9"}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert "Traceback" not in run(tmp_path / "one", nobody).stderr
    done = run(tmp_path / "two", nobody, repository=repository)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "two/adapt-jax/configs/digits_adapt.py").read_text() == "main"
