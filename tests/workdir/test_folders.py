"""The folder of a run, as several processes take it."""

import pathlib

from adapt_jax.core import files
from adapt_jax.workdir import folders


def test_a_check_may_be_removed_by_the_process_that_tidies_up(tmp_path, monkeypatch):
    touch = pathlib.Path.touch

    def touch_and_tidy(path):
        touch(path)
        files.remove_unfinished(path.parent)

    monkeypatch.setattr(pathlib.Path, "touch", touch_and_tidy)
    assert folders.prepare(tmp_path / "run") == tmp_path / "run"
    assert not list((tmp_path / "run").iterdir())
