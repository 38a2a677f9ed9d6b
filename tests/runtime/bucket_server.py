"""A stand-in for Google Cloud Storage: the part of its JSON API that gcsfs and TensorStore use.

    python -m tests.runtime.bucket_server PORT

Every bucket exists and is empty at first. Objects are in memory, with the generations that
conditional writes compare; a request is answered whole before the next one.
"""

import base64
import contextlib
import datetime
import hashlib
import http.server
import itertools
import json
import re
import sys
import threading
import urllib.parse
from typing import NamedTuple


class Object(NamedTuple):
    """Content and generation of an object, and when it was written."""

    content: bytes
    generation: int
    written: str


class Server(http.server.ThreadingHTTPServer):
    """Serves on 127.0.0.1; `objects` by (bucket, name)."""

    daemon_threads = True

    def __init__(self, port: int = 0):
        super().__init__(("127.0.0.1", port), Handler)
        self.objects: dict[tuple[str, str], Object] = {}
        self.uploads: dict[str, list] = {}
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()
        self.refuses = ""  # a kind of request, such as POST, that gets 403

    @property
    def environment(self) -> dict[str, str]:
        """What sends gcsfs and TensorStore here."""
        url = f"http://127.0.0.1:{self.server_port}"
        return {
            "STORAGE_EMULATOR_HOST": url,
            "TENSORSTORE_GCS_HTTP_URL": url,
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # it would ask another API
            "NO_GCE_CHECK": "true",  # nor does anybody have credentials
        }

    def put(self, key: tuple[str, str], content: bytes) -> None:
        """Writes an object."""
        now = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
        self.objects[key] = Object(content, next(self.numbers), now)

    def described(self, key: tuple[str, str]) -> dict:
        """What the API says of an object."""
        content, generation, written = self.objects[key]
        digest = base64.b64encode(hashlib.md5(content).digest()).decode()
        times = {"timeCreated": written, "updated": written}
        identity = {"bucket": key[0], "name": key[1], "generation": str(generation)}
        return {**identity, **times, "size": str(len(content)), "md5Hash": digest, "etag": digest}


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and content leave together, or the second waits 40 ms to be asked for
    server: Server

    def _handle(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = self._body()
        found = re.fullmatch(
            r"/(upload/|download/)?storage/v1/b/([^/]+)(?:/o(?:/(.+))?)?", url.path
        )
        with self.server.lock:
            if self.command == self.server.refuses:
                self._answer(403)
            elif url.path.startswith("/batch/"):
                self._batch(body)
            elif not found:
                self._answer(404)
            elif found[1] == "upload/":
                self._upload(found[2], query, body)
            elif found[3]:
                self._object((found[2], urllib.parse.unquote(found[3])), found[1], query)
            else:
                self._list(found[2], query, is_list=url.path.endswith("/o"))

    do_GET = do_POST = do_PUT = do_DELETE = _handle

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, status: int, content: bytes = b"{}", **headers: str) -> None:
        self.send_response(status)
        content = b"" if status in (204, 304) else content
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def _json(self, content: dict) -> None:
        self._answer(200, json.dumps(content).encode(), Content_Type="application/json")

    def _generation(self, key: tuple[str, str]) -> str:
        found = self.server.objects.get(key)
        return str(found.generation) if found else "0"

    def _object(self, key: tuple[str, str], download: str | None, query: dict) -> None:
        found = self.server.objects.get(key)
        wanted = query.get("ifGenerationMatch")
        if self.command == "DELETE" and wanted not in (None, self._generation(key)):
            self._answer(412)
        elif found is None:
            self._answer(404)
        elif self.command == "DELETE":
            del self.server.objects[key]
            self._answer(204)
        elif query.get("ifGenerationNotMatch") == str(found.generation):
            self._answer(304)
        elif download or query.get("alt") == "media":
            given = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            generation = {"x-goog-generation": str(found.generation)}
            if not given:
                return self._answer(200, found.content, **generation)
            first, size = int(given[1]), len(found.content)
            last = min(int(given[2] or size - 1), size - 1)
            if first >= size:
                return self._answer(416)
            span = {"Content-Range": f"bytes {first}-{last}/{size}"}
            self._answer(206, found.content[first : last + 1], **generation, **span)
        else:
            self._json(self.server.described(key))

    def _list(self, bucket: str, query: dict, *, is_list: bool) -> None:
        if not is_list:
            return self._json({"name": bucket, "storageClass": "STANDARD"})
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        first, end = query.get("startOffset", ""), query.get("endOffset", "")
        items, folders = [], set()
        for key in sorted(self.server.objects):
            name = key[1]
            if key[0] != bucket or not name.startswith(prefix) or name < first:
                continue
            if end and name >= end:
                continue
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                items.append(self.server.described(key))
        self._json({"items": items, "prefixes": sorted(folders)})

    def _upload(self, bucket: str, query: dict, body: bytes) -> None:
        kind, number = query.get("uploadType"), query.get("upload_id")
        name, content = query.get("name"), body
        if kind == "multipart":
            boundary = self.headers.get_param("boundary").encode()
            parts = body.split(b"--" + boundary)[1:3]
            head, content = (part.split(b"\n\n", 1)[1].removesuffix(b"\n") for part in parts)
            name = json.loads(head)["name"]
        elif kind == "resumable" and not number:
            number = str(next(self.server.numbers))
            given = json.loads(body or b"{}")
            self.server.uploads[number] = [given.get("name") or name, b""]
            place = f"http://{self.headers['Host']}{self.path}&upload_id={number}"
            return self._answer(200, Location=place)
        elif number:
            begun = self.server.uploads[number]
            begun[1] += body
            if self.headers.get("Content-Range", "").endswith("/*"):
                return self._answer(308, Range=f"bytes=0-{len(begun[1]) - 1}")
            name, content = self.server.uploads.pop(number)
        key = (bucket, name)
        if query.get("ifGenerationMatch") not in (None, self._generation(key)):
            return self._answer(412)
        self.server.put(key, content)
        self._json(self.server.described(key))

    def _batch(self, body: bytes) -> None:
        boundary = self.headers.get_param("boundary")
        parts = []
        for i, path in enumerate(re.findall(rb"DELETE (\S+)", body)):
            found = re.search(r"/b/([^/]+)/o/([^?]+)", path.decode())
            key = (found[1], urllib.parse.unquote(found[2]))
            status = "204 No Content" if self.server.objects.pop(key, None) else "404 Not Found"
            parts.append(
                f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <response-{i + 1}>"
                f"\r\n\r\nHTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n\r\n"
            )
        kind = f"multipart/mixed; boundary={boundary}"
        self._answer(200, ("".join(parts) + f"--{boundary}--").encode(), Content_Type=kind)

    def log_message(self, *_) -> None:
        """Says nothing."""


@contextlib.contextmanager
def running():
    """A `Server` in a thread of this process."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


if __name__ == "__main__":
    Server(int(sys.argv[1])).serve_forever()
