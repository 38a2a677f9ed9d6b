"""Downloads from a server that misbehaves in every way a server has been seen to."""

import base64
import hashlib
import json

import numpy as np
import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.core.files import file_sha256
from adapt_jax.core.redaction import redacted
from adapt_jax.data.download import fetch as download

BODY = np.random.default_rng(0).bytes(3_000_000)
OTHER = BODY[::-1]
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server(server):
    server.files["/a.zip"] = BODY
    return server


def fetch(server, path, urls=None, **options):
    options = {"pause": 0.0, "timeout": 5.0, "attempts": 3} | options
    return download.fetch(urls or [server.url], path, **options)


def ranges(server):
    return [wanted for _, wanted, _ in server.seen]


def leftovers(path):
    return sorted(p.name for p in path.parent.iterdir() if p != path)


def test_whole_file(server, tmp_path):
    steps, path = [], tmp_path / "new" / "a.zip"
    found = fetch(
        server, path, size=len(BODY), sha256=SHA.upper(), progress=lambda *x: steps.append(x)
    )
    assert found == SHA == file_sha256(path)
    assert path.read_bytes() == BODY
    assert steps[-1] == (len(BODY), len(BODY))
    assert not leftovers(path)


def test_dropped_connections_are_resumed_however_many(server, tmp_path):
    server.script = [{"drop": 500_000} for _ in range(5)]
    assert fetch(server, tmp_path / "a.zip", attempts=2) == SHA
    starts = [None] + [f"bytes={500_000 * i}-" for i in range(1, 6)]
    assert ranges(server) == starts
    assert server.seen[-1][2].startswith('"')


def test_a_later_run_resumes(server, tmp_path):
    path = tmp_path / "a.zip"
    server.script = [{"drop": 1_000_000}, {"status": 503}, {"status": 503}, {"status": 503}]
    with pytest.raises(InputError, match=r"HTTP 503.*3 attempts.*put it at .*a\.zip"):
        fetch(server, path)
    assert leftovers(path) == ["a.zip.part", "a.zip.part.json"]
    server.seen.clear()
    assert fetch(server, path) == SHA
    assert ranges(server) == ["bytes=1000000-"]


def test_killed_before_the_rename(server, tmp_path):
    path = tmp_path / "a.zip"
    server.script = [{"drop": 10}]
    with pytest.raises(InputError):
        fetch(server, path, attempts=1, urls=[server.url, "ftp://x/a.zip"], size=len(BODY) + 1)
    server.script = [{"drop": 10}, {"status": 404}]
    with pytest.raises(InputError, match="HTTP 404"):
        fetch(server, path)
    path.with_name("a.zip.part").write_bytes(BODY)
    server.seen.clear()
    assert fetch(server, path) == SHA
    assert ranges(server) == [f"bytes={len(BODY)}-"]


@pytest.mark.parametrize("rude", [{}, {"ignore_if_range": True}, {"ignore_range": True}])
def test_a_changed_file_is_not_spliced(server, tmp_path, rude):
    """Whether the server honours If-Range, ignores it, or ignores Range altogether."""
    server.script = [{"drop": 1_000_000}, {"body": OTHER, **rude}]
    server.files["/a.zip"] = OTHER
    path = tmp_path / "a.zip"
    fetch(server, path)
    assert path.read_bytes() == OTHER


def test_without_a_version_nothing_is_resumed(server, tmp_path):
    server.script = [{"drop": 1_000_000, "versioned": False}, {"versioned": False}]
    assert fetch(server, tmp_path / "a.zip") == SHA
    assert ranges(server) == [None, None]


def test_rest_of_another_file_is_not_used(server, tmp_path):
    path = tmp_path / "a.zip"
    path.with_name("a.zip.part").write_bytes(OTHER[:1000])
    note = {"url_sha256": "another", "version": '"1"'}
    path.with_name("a.zip.part.json").write_text(json.dumps(note))
    assert fetch(server, path) == SHA
    path.unlink()
    path.with_name("a.zip.part").write_bytes(OTHER[:1000])
    path.with_name("a.zip.part.json").write_text("no json")
    assert fetch(server, path) == SHA


def test_a_part_that_is_too_long(server, tmp_path):
    path = tmp_path / "a.zip"
    server.script = [{"drop": 10}, {"status": 404}]
    with pytest.raises(InputError, match="404"):
        fetch(server, path)
    path.with_name("a.zip.part").write_bytes(BODY + b"more")
    assert fetch(server, path) == SHA


def test_lies_about_the_length(server, tmp_path):
    path = tmp_path / "a.zip"
    server.script = [{"lie": 10, "versioned": False}] * 4
    with pytest.raises(InputError, match=r"ended after 3,000,000 of 3,000,010 bytes \(3 attempts"):
        fetch(server, path)
    server.script = [{"lie": -10}]
    with pytest.raises(InputError, match="2,999,990 bytes there instead of 3,000,000"):
        fetch(server, path, size=len(BODY))
    server.script = [{"lie": -10}]
    with pytest.raises(InputError, match=f"instead of {SHA}"):
        fetch(server, path, sha256=SHA)
    assert not path.exists()


def test_truncated_without_a_length_is_noticed_by_size_or_digest(server, tmp_path):
    path = tmp_path / "a.zip"
    for expected in ({"size": len(BODY)}, {"sha256": SHA}):
        server.script = [{"length": False, "drop": 1000}]
        with pytest.raises(InputError, match="instead of"):
            fetch(server, path, **expected)
    server.script = [{"length": False}]
    assert fetch(server, path, size=len(BODY)) == SHA


def test_the_next_url_is_tried(server, tmp_path):
    gone = server.url.replace("a.zip", "gone/a.zip")
    assert fetch(server, tmp_path / "a.zip", urls=[gone, server.url]) == SHA
    assert [path for path, _, _ in server.seen] == ["/gone/a.zip", "/a.zip"]


def test_nobody_has_it(server, tmp_path):
    gone = server.url.replace("a.zip", "gone/a.zip")
    unused = "http://127.0.0.1:9/a.zip"
    with pytest.raises(InputError) as caught:
        fetch(server, tmp_path / "a.zip", urls=[gone, unused, "file:///a"], by_hand="see the page")
    for word in ("HTTP 404", "refused", "not an http", "by hand (see the page)", "same command"):
        assert word in str(caught.value)
    assert not leftovers(tmp_path / "a.zip")


def test_a_password_reaches_its_host_and_nothing_else(server, tmp_path):
    url = server.url.replace("://", "://me:s%2Fcret@") + "?token=t0ken"
    server.credentials.clear()
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    server.script = [{"location": elsewhere}, {"drop": 1000}, {"status": 404}]
    with pytest.raises(InputError) as caught:
        fetch(server, tmp_path / "a.zip", urls=[url], attempts=1)
    basic = "Basic " + base64.b64encode(b"me:s/cret").decode()
    assert server.credentials == [basic, None, basic]
    written = b"".join(p.read_bytes() for p in tmp_path.iterdir() if p.suffix == ".json")
    for secret in ("cret", "t0ken"):
        assert secret not in str(caught.value)
        assert secret.encode() not in written
    assert b"version" in written


@pytest.mark.parametrize("target", ["ftp://localhost/a.zip", "file:///etc/passwd", "data:,x"])
def test_redirects_stay_within_http(server, tmp_path, target):
    server.script = [{"location": target}]
    with pytest.raises(InputError, match=r"not http\(s\)|not allowed"):
        fetch(server, tmp_path / "a.zip", attempts=1)


def test_a_link_in_place_of_the_unfinished_file_is_not_followed(server, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.zip.part").symlink_to(precious)
    with pytest.raises(InputError, match="cannot write"):
        fetch(server, folder / "a.zip")
    (folder / "a.zip.part").unlink()
    (folder / "a.zip.part.json").symlink_to(precious)
    assert fetch(server, folder / "a.zip") == SHA
    assert precious.read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot fetch https://me:pw@host/a?x=1; try", "cannot fetch https://***@host/a?***; try"),
        ("--workdir s3://KEY:SE@CRET@bucket/x is no", "--workdir s3://***@bucket/x is no"),
        ("'https://h/a?token=abc&x=1' failed", "'https://h/a?***' failed"),
        ("data source 'folder:a?limit=3'", "data source 'folder:a?limit=3'"),
        ("me@home: see https://h/a", "me@home: see https://h/a"),
    ],
)
def test_messages_have_no_credentials(text, shown):
    assert redacted(text) == shown


def test_web_pages_are_not_data(server, tmp_path):
    page = b"<html><title>Quota &amp; limits</title></html>"
    server.script = [{"body": page, "type": "text/html; charset=utf-8"}]
    with pytest.raises(InputError, match=r"web page \(Quota & limits\) instead"):
        fetch(server, tmp_path / "a.zip")


def test_google_drive_asks_whether_one_is_sure(server, tmp_path):
    page = (
        b'<form id="download-form"><input type="hidden" name="id" value="X">'
        b'<input type="hidden" name="confirm" value="t">'
        b'<input type="hidden" name="uuid" value="1-2"></form>'
    )
    warning = {"body": page, "type": "text/html"}
    server.script = [warning, {"drop": 1_000_000}, warning, {}]
    assert fetch(server, tmp_path / "a.zip", urls=[f"{server.url}?id=X"]) == SHA
    assert [path.partition("?")[2] for path, _, _ in server.seen] == [
        "id=X",
        "id=X&confirm=t&uuid=1-2",
    ] * 2
    assert ranges(server)[-1] == "bytes=1000000-"


def test_unwritable_folder_and_full_disk(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        fetch(server, tmp_path / "file" / "a.zip")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_write", full)
    with pytest.raises(InputError, match=r"cannot write .*No space left"):
        fetch(server, tmp_path / "a.zip")
    assert len(server.seen) == 1
