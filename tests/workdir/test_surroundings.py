"""A resumed run says what is no longer as it was."""

import json

from adapt_jax.workdir import surroundings


def test_what_changed_is_said_once_and_recorded(tmp_path, monkeypatch):
    assert surroundings.remember(tmp_path, 0) == ""
    assert surroundings.remember(tmp_path, 6) == ""
    now = surroundings.current()
    monkeypatch.setattr(
        surroundings, "current", lambda: now | {"device": "8 x TPU v9", "x64": True}
    )
    said = surroundings.remember(tmp_path, 6)
    assert f"device {now['device']} -> 8 x TPU v9, x64 False -> True" in said
    assert surroundings.remember(tmp_path, 12) == ""
    recorded = json.loads((tmp_path / surroundings.FILE).read_text())
    assert [entry["step"] for entry in recorded] == [0, 6]
    assert recorded[0]["generator"] == "threefry2x32"


def test_a_record_that_cannot_be_read_stops_nothing(tmp_path):
    for damaged in ("", "[", "{}", "[1]"):
        (tmp_path / surroundings.FILE).write_text(damaged)
        assert surroundings.remember(tmp_path, 6) == ""
        assert json.loads((tmp_path / surroundings.FILE).read_text())[0]["step"] == 6
