"""Every mistake a user can make gets one clear sentence and exit code 2 before training starts."""

import numpy as np
import pytest
from PIL import Image

from tests import commands
from tests.e2e import small


def run(*arguments, module="adapt_jax.train"):
    return commands.run(module, *arguments)


def refused(result, *words):
    """Exit code 2, one sentence on stderr that holds every word, and no traceback."""
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


@pytest.fixture
def folder(tmp_path):
    """A class-folder tree of 3 x 4 small PNGs."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


def with_data(folder, workdir):
    train_data = f"--config.train_data=folder:{folder}"
    return f"--config={small.CONFIG}", f"--workdir={workdir}", train_data, "--config.batch_size=8"


def test_a_missing_config_file(tmp_path):
    refused(run("--config=configs/nope.py", f"--workdir={tmp_path}"), "configs/nope.py", "exist")


def test_a_misspelt_field(tmp_path):
    result = run(f"--config={small.CONFIG}", f"--workdir={tmp_path}", "--config.bach_size=3")
    refused(result, "'bach_size'", "did you mean 'batch_size'")


def test_a_value_of_the_wrong_type(tmp_path):
    result = run(f"--config={small.CONFIG}", f"--workdir={tmp_path}", "--config.batch_size=many")
    refused(result, "batch_size", "many")


def test_a_misspelt_flag(tmp_path):
    refused(run(f"--config={small.CONFIG}", f"--workdri={tmp_path}"), "workdri", "workdir")


def test_a_field_without_config_before_it(tmp_path):
    result = run(f"--config={small.CONFIG}", f"--workdir={tmp_path}", "--epochs=3")
    refused(result, "epochs", "--config.epochs=...")
    result = run(f"--config={small.CONFIG}", f"--workdir={tmp_path}", "--learning_rate=3")
    refused(result, "--config.optimizer.learning_rate=...")


def test_a_path_in_place_of_a_source(folder, tmp_path):
    for path, source in ((folder, f"folder:{folder}"), ("a/b.npz?limit=3", "npz:a/b.npz?limit=3")):
        given = f"--config.train_data={path}"
        result = run(f"--config={small.CONFIG}", f"--workdir={tmp_path}", given)
        refused(result, f"did you mean '{source}'?")


def test_a_run_without_its_flag(tmp_path):
    (tmp_path / "config.json").touch()
    result = run(str(tmp_path), "x.png", module="adapt_jax.predict")
    refused(result, f"name the run by --workdir={tmp_path}")
    refused(run("x.png", module="adapt_jax.predict"), "name the run by --workdir=DIR")


def test_a_hyper_parameter_out_of_range(tmp_path):
    result = run(
        f"--config={small.CONFIG}", f"--workdir={tmp_path}", "--config.method.params.beta=-1.0"
    )
    refused(result, "section method", "beta")


def test_a_missing_folder(tmp_path):
    result = run(*with_data(tmp_path / "nothing", tmp_path / "run"))
    refused(result, str(tmp_path / "nothing"))
    assert not (tmp_path / "run").exists()


def test_a_class_without_an_image(folder, tmp_path):
    (folder / "bat").mkdir()
    refused(run(*with_data(folder, tmp_path / "run")), "bat")


def test_a_corrupt_image(folder, tmp_path):
    whole = (folder / "dog" / "2.png").read_bytes()
    (folder / "dog" / "2.png").write_bytes(whole[: len(whole) // 2])
    refused(run(*with_data(folder, tmp_path / "run")), "dog/2.png")


def test_a_results_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = run(f"--config={small.CONFIG}", f"--workdir={tmp_path / 'file' / 'run'}")
    refused(result, "cannot be written", str(tmp_path / "file"))


def test_a_misspelt_field_in_the_file(tmp_path):
    text = small.CONFIG.read_text().replace("config.batch_size", "config.bach_size")
    (tmp_path / "mine.py").write_text(text)
    refused(run(f"--config={tmp_path / 'mine.py'}", f"--workdir={tmp_path / 'run'}"), "bach_size")


def test_two_programs_in_one_folder(tmp_path):
    from adapt_jax.workdir import folders

    with folders.locked(folders.prepare(tmp_path)):
        refused(run("--config", small.CONFIG, f"--workdir={tmp_path}"), "another program")


def test_more_neighbours_than_training_images(folder, tmp_path):
    result = run(*with_data(folder, tmp_path / "run"), "--config.detectors=knn?k=13")
    refused(result, "'knn?k=13' needs at least 13 training images, there are 12")


def test_evaluating_what_was_never_trained(tmp_path):
    result = run(f"--workdir={tmp_path}", module="adapt_jax.evaluate")
    refused(result, "holds no run")


def test_help_lists_the_flags():
    result = run("--help")
    assert result.returncode == 0
    assert "--workdir" in result.stdout
    assert "--config" in result.stdout
