"""The table of what every config field decides, and its three users."""

import json
import pathlib
import re

import pytest

from adapt_jax import config
from adapt_jax.config import zero_shot
from adapt_jax.config.diff import flatten
from adapt_jax.config.effects import FIELDS, Effect, changed, effect
from adapt_jax.core.errors import InputError
from adapt_jax.results import aggregate, result_files
from adapt_jax.workdir import checkpoints

TRAINING = flatten(config.default_config().to_dict())
ZERO_SHOT = flatten(zero_shot.default_config().to_dict())
DOC = pathlib.Path(__file__).parents[2] / "docs" / "train.md"


def of_the_table(field):
    return "method.params" if field.startswith("method.params.") else field


FIELDS_OF_CONFIGS = {of_the_table(field) for field in TRAINING | ZERO_SHOT}


def test_the_table_has_every_field_and_no_other():
    assert FIELDS.keys() == FIELDS_OF_CONFIGS | {"from_features"}
    assert effect("method.params.beta") is Effect.TRAJECTORY
    assert effect("a.field.of.the.future") is Effect.TRAJECTORY


def test_the_documented_table_is_the_one_in_use():
    rows = {
        Effect.TRAJECTORY: "the training", Effect.RESULT: "the result",
        Effect.ROWS: "which rows and columns the result has",
        Effect.NOTHING: "nothing but time, memory and logs",
    }  # fmt: skip
    named = {}
    for level, title in rows.items():
        (cells,) = re.findall(rf"^\| {title} \| (.*) \|$", DOC.read_text(), re.MULTILINE)
        named |= dict.fromkeys(re.findall(r"`([^`]+)`", cells), level)
    for field in FIELDS_OF_CONFIGS:
        section = f"{field.partition('.')[0]}.*"
        assert named.get(field, named.get(section)) is FIELDS[field], field


def with_another(field, **fields):
    """A complete config, and the same with another value of one field."""
    full = config.default_config()
    full.update(fields)
    other = config.completed(full.to_dict())
    with other.unlocked(), other.ignore_type():
        other.update_from_flattened_dict({field: _another(flatten(full.to_dict())[field], field)})
    return full.to_dict(), other.to_dict()


def _another(value, field):
    """Another value of the same type."""
    if field == "method.name":
        return "cider"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return (*value, 0.5) if isinstance(value, tuple) else "another"


@pytest.fixture
def resumes(tmp_path):
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)

    def ask(one, other):
        (tmp_path / "config.json").write_text(json.dumps(one))
        try:
            checkpoints.check_config(tmp_path, other)
        except InputError:
            return False
        return True

    return ask


def merges(one, other):
    runs = [
        {"protocol": "p", "id": "i", "method": "m", "model": "n", "seed": n, "config": given}
        | {"checkpoint_sha256": str(n), "rows": []}
        for n, given in enumerate((one, other))
    ]
    try:
        aggregate.aggregate(runs)
    except InputError:
        return False
    return True


def test_epochs_decide_nothing_where_total_steps_do(resumes):
    one, other = with_another("epochs", total_steps=7)
    assert changed(one, other, Effect.NOTHING)
    assert not changed(one, other, Effect.ROWS)
    assert resumes(one, other)
    assert merges(one, other)
    assert changed(one, other | {"total_steps": None}, Effect.TRAJECTORY).keys() == {
        "epochs",
        "total_steps",
    }


def counts_as_finished(one, other, monkeypatch):
    found = {"config": one, "step": 1, "total_steps": 1}
    monkeypatch.setattr(result_files, "read", lambda workdir: found)
    return result_files.finished("", config.completed(other).to_dict()) is not None


@pytest.mark.parametrize("field", TRAINING)
def test_resume_merge_and_compare_go_by_it(field, resumes, monkeypatch):
    one, other = with_another(field, eval_checkpoint="best")
    level = effect(field)
    assert resumes(one, other) == (level < Effect.TRAJECTORY)
    assert merges(one, other) == (level < Effect.RESULT or field == "seed")
    assert counts_as_finished(one, other, monkeypatch) == (level < Effect.ROWS)


def test_how_often_is_saved_decides_only_which_state_is_the_best(monkeypatch):
    last = with_another("checkpoint_every")
    best = with_another("checkpoint_every", eval_checkpoint="best")
    assert merges(*last)
    assert counts_as_finished(*last, monkeypatch)
    assert changed(*last, Effect.NOTHING).keys() == {"checkpoint_every"}
    assert changed(*best, Effect.RESULT).keys() == {"checkpoint_every"}
