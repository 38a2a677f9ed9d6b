"""Names of files that are not UTF-8, as archives from old systems have them.

Python reads a byte it cannot decode as a lone surrogate. Text with such names in it goes back to
bytes as they were, into files, digests and pipes alike.
"""

import codecs
import sys

_LOW, _HIGH = 0xDC80, 0xDCFF
_ANYHOW = "adapt_jax.anyhow"


def encoded(text: str) -> bytes:
    """The text in UTF-8, with the original bytes of file names that are not."""
    return text.encode("utf-8", "surrogateescape")


def let_through() -> None:
    """Lets stdout and stderr take any text: names byte by byte, "?" for what they cannot show."""
    codecs.register_error(_ANYHOW, _anyhow)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's has none, and takes any text
            stream.reconfigure(errors=_ANYHOW)


def _anyhow(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):  # some streams are read as well
        return codecs.lookup_error("surrogateescape")(error)
    codes = map(ord, error.object[error.start : error.end])
    shown = (bytes([c - 0xDC00]) if _LOW <= c <= _HIGH else b"?" for c in codes)
    return b"".join(shown), error.end
