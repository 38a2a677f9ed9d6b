"""What lies in place of a file is called by its name; what is a file is left alone."""

import pytest

from adapt_jax.core.errors import InputError
from adapt_jax.core.stand_ins import refuse_stand_in, stand_in

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 605247071\n"
PAGES = (
    b"<!DOCTYPE html>\n<html lang=en>",
    b"\xef\xbb\xbf\n  <html>",
    b"<!-- saved -->\n<!doctype HTML public>",
    b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code>',
    b'{"error":"Repository not found"}',
)


def test_pointers_and_pages_are_told_from_files():
    assert "Git LFS pointer" in stand_in(POINTER)
    assert all("web page" in stand_in(page) for page in PAGES)
    for start in (b"", b"\x89PNG\r\n", b"PK\x03\x04", b'{"model_type": "clip"}', b"header one\n"):
        assert not stand_in(start)
    assert not stand_in(b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">')


def test_the_file_is_named(tmp_path):
    file = tmp_path / "model.safetensors"
    refuse_stand_in(file)
    file.write_bytes(POINTER)
    with pytest.raises(InputError, match=r"model\.safetensors is a Git LFS pointer.*git lfs pull"):
        refuse_stand_in(file)
