"""What a clone or a download leaves in place of a file: Git LFS pointers and web pages."""

import pathlib
import re

from adapt_jax.core.errors import InputError

START = 512  # bytes that are enough to tell
_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(
    rb"(<!--.*?-->\s*|<\?xml[^>]*>\s*)*<(!doctype\s+html|html|head|error|title)\b"
    rb"|\{\s*\"(error|message|detail)\"",
    re.IGNORECASE | re.DOTALL,
)


def stand_in(start: bytes) -> str:
    """What a file is instead of what its name says, as the end of a sentence; "" if nothing known.

    Args:
      start: the first `START` bytes of the file.
    """
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(_POINTER):
        return (
            "is a Git LFS pointer, not the file it stands for; run git lfs pull where it was "
            "cloned, or download the file itself"
        )
    if _PAGE.match(text):
        return (
            "is a web page, not the file it is named after; the download failed or wanted a "
            "login, so download the file again"
        )
    return ""


def refuse_stand_in(path: pathlib.Path) -> None:
    """Raises InputError if a file is a Git LFS pointer or a web page; it need not be there."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        problem = stand_in(file.read(START))
    if problem:
        raise InputError(f"{path} {problem}")
