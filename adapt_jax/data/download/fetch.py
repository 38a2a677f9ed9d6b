"""Fetching one large file over HTTP: resumed, retried, checked, and only then given its name.

The data go to FILE.part. FILE.part.json says which version of which URL they are from (its ETag or
Last-Modified): a file that changed at the source is fetched anew, never spliced together.
"""

import base64
import errno
import hashlib
import html
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from adapt_jax.core.errors import InputError
from adapt_jax.core.file_names import encoded
from adapt_jax.core.files import file_sha256, open_unlinked, read_json, write_atomically

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
CHUNK = 1 << 20
LONGEST_PAUSE = 60.0
SCHEMES = ("http", "https")


class _Refused(Exception):
    """This URL will not give the file, and why."""


class _WithinHttp(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http(s) addresses only; Python alone follows them to FTP as well."""

    def redirect_request(self, request, response, code, message, headers, url):
        """The request a redirect leads to."""
        if urllib.parse.urlsplit(url).scheme not in SCHEMES:
            raise _Refused("it redirects to an address that is not http(s)")
        return super().redirect_request(request, response, code, message, headers, url)


_OPENER = urllib.request.build_opener(_WithinHttp)


def fetch(
    urls: Sequence[str],
    path: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    by_hand: str = "",
    attempts: int = 5,
    pause: float = 1.0,
    timeout: float = 60.0,
    progress: Callable[[int, int | None], None] | None = None,
) -> str:
    """Fetches a file from the first URL that gives it, going on where an earlier try stopped.

    Args:
      urls: http(s) URLs, tried in order.
      path: path of the file; it does not exist before it is complete and checked.
      size, sha256: required size in bytes and SHA-256, or its first digits; None leaves them
        unchecked.
      by_hand: advice on where else to get the file, for the error message.
      attempts: number of failures in a row, without a byte gained, after which a URL is given up.
      pause: seconds before the second attempt; doubles with every further one.
      timeout: seconds without an answer after which an attempt ends.
      progress: function called as progress(bytes so far, bytes in all or None).

    Returns: the file's sha256 (hex).

    Raises:
      InputError: no URL gave the file (with each one's reason, and what to do by hand), or the disk
        is full.
    """
    part, note = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        open_unlinked(part).close()
    except OSError as error:
        raise InputError(f"cannot write to {path.parent}: {error.strerror}") from error
    reasons = []
    for url in urls:
        try:
            _retry(url, part, note, size, attempts, pause, timeout, progress)
            digest = _checked(part, size, sha256)
        except _Refused as error:
            reasons.append(f"{urllib.parse.urlsplit(url).hostname or 'no address'}: {error}")
            continue
        os.replace(part, path)
        note.unlink(missing_ok=True)
        return digest
    if not _length(part):
        part.unlink(missing_ok=True)
        note.unlink(missing_ok=True)
    where = f" ({by_hand})" if by_hand else ""
    raise InputError(
        f"cannot fetch {path.name} ({'; '.join(reasons)}); get it by hand{where}, put it at {path} "
        "and run the same command again"
    )


def agrees(digest: str, wanted: str | None) -> bool:
    """Whether a SHA-256 (hex) is the one wanted, or starts with its digits; None wants any."""
    return wanted is None or digest.startswith(wanted.lower())


def _checked(part: Path, size: int | None, sha256: str | None) -> str:
    """The digest of a complete download; a wrong one is removed, for there is nothing to resume."""
    digest, length = file_sha256(part), part.stat().st_size
    if size is not None and length != size:
        wrong = f"{length:,} bytes instead of {size:,}"
    elif not agrees(digest, sha256):
        wrong = f"its sha256 is {digest} instead of {sha256}"
    else:
        return digest
    part.unlink()
    raise _Refused(wrong)


def _retry(url, part: Path, note: Path, size, attempts, pause, timeout, progress) -> None:
    """Calls `_receive` until the file is complete; only attempts without progress are counted."""
    if urllib.parse.urlsplit(url).scheme not in SCHEMES:
        raise _Refused("not an http(s) address")
    failures, best = 0, _length(part)
    while failures < attempts:
        if failures:
            time.sleep(min(pause * 2 ** (failures - 1), LONGEST_PAUSE))
        try:
            reason = _receive(url, part, note, size, timeout, progress)
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            error.close()
            if error.code not in TRANSIENT:
                raise _Refused(reason) from error
        except (OSError, http.client.HTTPException) as error:  # what networks do, and disks
            if isinstance(error, OSError) and error.errno in DISK:
                raise InputError(f"cannot write {part}: {error.strerror}") from error
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if not reason:
            return
        failures = 0 if _length(part) > best else failures + 1
        best = max(best, _length(part))
    raise _Refused(f"{reason} ({attempts} attempts)")


def _receive(url: str, part: Path, note: Path, size, timeout: float, progress) -> str:
    """One attempt. "" when the file is complete, else why it is not."""
    have, version = _resumable(url, part, note)
    headers = {"User-Agent": "adapt_jax", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    try:
        response = _open(url, headers, timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        if error.headers.get("Content-Range", "").replace(" ", "") == f"bytes*/{have}":
            return ""  # nothing was missing but the new name
        part.unlink()
        return "the server cannot resume"
    with response:
        start, total = 0, response.length
        if response.status == 206:
            start, total = _span(response.headers.get("Content-Range", ""))
            if start != have or _version(response) not in ("", version):
                part.unlink()
                return "the file changed, or another part of it came than was asked for"
        if None not in (size, total) and total != size:
            raise _Refused(f"{total:,} bytes there instead of {size:,}")
        done = _write(response, part, note, start, url, total, progress)
    if total not in (None, done):
        return f"the connection ended after {done:,} of {total:,} bytes"
    return ""


def _open(url: str, headers: dict, timeout: float):
    """The response with the file. Google Drive's question whether one is sure is answered once."""
    asked = False
    while True:
        response = _OPENER.open(_request(url, headers), timeout=timeout)
        if response.headers.get_content_type() != "text/html":
            return response
        with response:
            page = response.read(CHUNK).decode(errors="replace")
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
        if asked or "confirm" not in hidden:
            title = re.search(r"<title>([^<]*)", page, re.IGNORECASE)
            said = f" ({html.unescape(title[1]).strip()})" if title else ""
            raise _Refused(f"it sent a web page{said} instead of the file")
        url, asked = f"{url.partition('?')[0]}?{urllib.parse.urlencode(hidden)}", True


def _write(response, part: Path, note: Path, start: int, url: str, total, progress) -> int:
    """Writes the body from byte `start` on. Returns the length of the file then."""
    done = start
    with open_unlinked(part) as file:
        file.truncate(start)
        file.seek(start)
        recorded = {"url_sha256": _url_sha256(url), "version": _version(response)}
        write_atomically(note, json.dumps(recorded))
        while chunk := response.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    return done


def _resumable(url: str, part: Path, note: Path) -> tuple[int, str]:
    """How many bytes are there of which version of this URL; (0, "") if they cannot be trusted."""
    try:
        noted = read_json(note, {"url_sha256": str, "version": str}, "")
        version = noted["version"] if noted["url_sha256"] == _url_sha256(url) else ""
    except InputError:
        version = ""
    return (_length(part), version) if version and _length(part) else (0, "")


def _url_sha256(url: str) -> str:
    """Tells one URL from another without writing down what secrets it has."""
    return hashlib.sha256(encoded(url)).hexdigest()


def _request(url: str, headers: dict) -> urllib.request.Request:
    """A request for a URL; a name and password in it go to its host, and nowhere else."""
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=host).geturl(), headers=headers)
    if at:
        token = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def _version(response) -> str:
    """What If-Range may name: a strong ETag, else Last-Modified; "" if there is neither."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _span(text: str) -> tuple[int, int | None]:
    """Content-Range "bytes 5-9/10" -> (5, 10); (-1, None) if it says nothing."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text.strip())
    if not match:
        return -1, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
