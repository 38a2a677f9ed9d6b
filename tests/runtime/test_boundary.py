"""At the edge of a command, what is not a bug is one sentence and the documented exit code."""

import io
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from adapt_jax.core.errors import InputError, TrainingFailed
from adapt_jax.core.file_names import encoded
from adapt_jax.results import result_files, result_rows, scores
from adapt_jax.runtime import boundary

ROOT = pathlib.Path(__file__).parents[2]


def a_file(folder, content=b""):
    path = folder / "here.bin"
    path.write_bytes(content)
    return path


def open_missing(folder):
    (folder / "missing.json").read_text()


def write_into_a_file(folder):
    (a_file(folder) / "x").write_text("")


def read_latin1(folder):
    a_file(folder, b"caf\xe9").read_text("utf-8")


def read_half_json(folder):
    path = a_file(folder, b'{"a": [1')
    json.loads(path.read_text())


def read_deep_json(folder):
    path = a_file(folder, b"[" * 100000)
    json.loads(path.read_text())


def load_pickle(folder):
    path = a_file(folder, b"no archive")
    np.load(path, allow_pickle=False)


def load_cut_npz(folder):
    path, whole = folder / "a.npz", io.BytesIO()
    np.savez(whole, a=np.arange(1000))
    path.write_bytes(whole.getvalue()[:-30])
    np.load(path)


def load_flipped_npz(folder):
    path, whole = folder / "a.npz", io.BytesIO()
    np.savez(whole, a=np.arange(1000))
    path.write_bytes(whole.getvalue()[:600] + b"XX" + whole.getvalue()[602:])
    with np.load(path) as arrays:
        return arrays["a"]


def open_no_archive(folder):
    zipfile.ZipFile(a_file(folder, b"PK"))


def open_no_image(folder):
    Image.open(a_file(folder, b"GIF89a"))


@pytest.mark.parametrize(
    ("job", "word"),
    [
        (open_missing, "missing.json: No such file"),
        (write_into_a_file, "here.bin/x: Not a directory"),
        (read_latin1, "not UTF-8, probably"),
        (read_half_json, "damaged, probably"),
        (read_deep_json, "damaged, probably"),
        (load_pickle, "damaged, probably"),
        (load_cut_npz, "damaged, probably"),
        (load_flipped_npz, "damaged, probably"),
        (open_no_archive, "here.bin (BadZipFile"),
        (open_no_image, "here.bin"),
    ],
)
def test_files_that_are_not_there_or_damaged(job, word, tmp_path, capsys):
    with pytest.raises(SystemExit) as end, boundary.explained(lambda: "process 1: "):
        job(tmp_path)
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("process 1: error: ")
    assert said.count("\n") == 1
    assert word in said
    assert str(tmp_path) in said


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("as it is"), 2),
        (TrainingFailed("as it is"), 1),
        (KeyboardInterrupt(), 130),
        (MemoryError(), 1),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 7 bytes"), 1),
        (OSError(28, "No space left on device", b"/full/cafe"), 2),
    ],
)
def test_codes(error, code, monkeypatch):
    with pytest.raises(SystemExit) as end, boundary.explained():
        raise error
    assert end.value.code == code
    monkeypatch.setenv(boundary.TRACEBACK, "1")
    with pytest.raises(type(error)), boundary.explained():
        raise error


def test_a_bug_keeps_its_traceback():
    for bug in (ValueError("shapes"), TypeError("x"), KeyError("x"), AssertionError()):
        with pytest.raises(type(bug)), boundary.explained():
            raise bug


def ran(code, *arguments, **kwargs):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, **kwargs)


def test_names_that_are_not_utf_8_go_through_any_console():
    code = "import sys; from adapt_jax.runtime import boundary\n"
    code += "with boundary.explained():\n"
    code += "    print(sys.argv[1], '±')\n    raise OSError(2, 'No', sys.argv[1])"
    for encoding, shown in (("utf-8", "±".encode()), ("ascii", b"?")):
        done = ran(code, b"caf\xe9", env=os.environ | {"PYTHONIOENCODING": encoding})
        assert done.returncode == 2
        assert done.stdout == b"caf\xe9 " + shown + b"\n"
        assert done.stderr.startswith(b"error: caf\xe9: No; check the path")


def test_a_reader_that_leaves_early_is_no_error():
    code = "from adapt_jax.runtime import boundary\n"
    code += "with boundary.explained():\n    for i in range(100000): print(i)"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as one:
        one.stdout.readline()
        one.stdout.close()
        assert one.stderr.read() == b""
    assert one.returncode == boundary.EXIT_PIPE


def test_results_of_such_names(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    scores.save_scores(tmp_path / "s.npz", [1.0, 2.0], [name, "b"])
    assert scores.load_scores(tmp_path / "s.npz").names.tolist() == [name, "b"]
    header = dict.fromkeys(
        ("protocol", "id", "method", "model", "checkpoint_sha256", "versions", "commit"), name
    )
    result_files.write(
        tmp_path, header | {"seed": 0}, [result_rows.row("d", name, "far", [0.5, 1], [0, 0.7])]
    )
    assert b"caf\xe9.png" in (tmp_path / "results.csv").read_bytes()
    assert result_files.read(tmp_path)["rows"][0]["ood"] == name
    assert encoded(name) == b"caf\xe9.png"


def test_a_thread_that_waits_for_storage_does_not_keep_the_program():
    code = "import threading; from adapt_jax.runtime import boundary\n"
    code += "from adapt_jax.core.errors import NoAnswer\n"
    code += "threading.Thread(target=threading.Event().wait).start()\n"
    code += "with boundary.explained(): raise NoAnswer('as it is')"
    done = ran(code)
    assert (done.returncode, done.stderr) == (1, b"error: as it is\n")
