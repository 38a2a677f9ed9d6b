"""What an installed package brings: configs by name, one command, help that says what it does."""

import os
import subprocess
import sys

import pytest

import adapt_jax
from adapt_jax import __main__ as jobs
from adapt_jax.core.errors import InputError
from adapt_jax.runtime import config_files
from tests import commands
from tests.e2e import small


def run(*arguments, cwd):
    env = os.environ | {"PYTHONPATH": str(small.ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=cwd, env=env, capture_output=True, text=True
    )


def test_configs_go_by_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_files.load_config("digits_adapt").train_data == "digits:train?classes=0-5"
    assert config_files.load_config("digits_zero_shot:models/a").clip.path == "models/a"
    (tmp_path / "mine.py").write_text("def get_config(kind='a'):\n    return {'kind': kind}\n")
    assert config_files.load_config("mine.py:b") == {"kind": "b"}
    for wrong, words in (("digits_adap", "did you mean digits_adapt"), ("mine", "does not exist")):
        with pytest.raises(InputError, match=words):
            config_files.load_config(wrong)


def test_the_installed_ones_come_first(tmp_path, monkeypatch):
    monkeypatch.setattr(config_files, "_PACKAGE", tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "own.py").touch()
    assert config_files.names() == ("own",)


def test_a_build_has_the_configs(tmp_path):
    source, library = tmp_path / "source", tmp_path / "library"
    (source / "adapt_jax").mkdir(parents=True)
    (source / "adapt_jax" / "__init__.py").touch()
    (source / "setup.py").write_text((small.ROOT / "setup.py").read_text())
    (source / "setup.cfg").write_text("[options]\npackages = adapt_jax\n")
    (source / "configs").symlink_to(small.ROOT / "configs")
    command = [sys.executable, "setup.py", "-q", "build_py", f"--build-lib={library}"]
    subprocess.run(command, check=True, cwd=source, capture_output=True)
    built = {path.name for path in (library / "adapt_jax" / "configs").iterdir()}
    assert built == {path.name for path in (small.ROOT / "configs").glob("*.py")}


def test_one_command_for_every_job(tmp_path):
    shown = run("adapt_jax", "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert all(f"  {job} " in shown.stdout for job in jobs.JOBS)
    assert run("adapt_jax", "--version", cwd=tmp_path).stdout == (
        f"adapt_jax {adapt_jax.__version__}\n"
    )
    unknown = run("adapt_jax", "trian", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "there is no 'trian'" in unknown.stderr


@pytest.mark.parametrize("job", ["train", "predict", "profiling", "data"])
def test_help_says_what_it_does(job, tmp_path):
    shown = commands.run("adapt_jax.__main__", job, "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    start = shown.stdout.splitlines()
    assert jobs._what(job)[:40] in "\n".join(start[:4])


def test_help_that_nobody_reads_on_is_no_traceback(tmp_path):
    code = (
        "import os, sys; os.dup2(os.pipe()[1], 1); os.closerange(3, 9); sys.argv[1:] = ['--help']"
    )
    code += "; from adapt_jax.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_name_takes_overrides_and_mistakes_are_one_sentence(tmp_path):
    words = "train", "--config=digits_adapt", "--config.epoch=3"
    wrong = commands.run("adapt_jax.__main__", *words, cwd=tmp_path)
    assert wrong.returncode == 2
    assert "no field 'epoch' (did you mean 'epochs'?)" in wrong.stderr
    assert commands.run("adapt_jax.train", "--version", cwd=tmp_path).returncode == 0
