"""Messages and logs without the credentials that URLs may hold."""

import re

_USER = re.compile(r"(?<=://)[^/\s'\"]*@")
_QUERY = re.compile(r"(\b[A-Za-z][\w+.-]*://[^\s?'\"]*\?)[^\s'\"]*[^\s'\";:,.)]")


def redacted(text: str) -> str:
    """A text with the user names, passwords and queries of its URLs replaced by asterisks."""
    return _QUERY.sub(r"\1***", _USER.sub("***@", text))
