"""An HTTP server that misbehaves as told: hangs up, lies, changes files, forgets ranges."""

import hashlib
import http.server


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` (path -> bytes); `script` holds how to treat the next requests, in order."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.script, self.seen, self.credentials = {}, [], [], []
        self.base = f"http://127.0.0.1:{self.server_port}"
        self.url = f"{self.base}/a.zip"

    def handle_error(self, *_):
        """A client may hang up early."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, how = self.server, {}
        server.seen.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        if server.script:
            how = server.script.pop(0)
        server.credentials.append(self.headers.get("Authorization"))
        if "location" in how:
            self.send_response(302)
            self.send_header("Location", how["location"])
            return self.end_headers()
        path = self.path.partition("?")[0]
        if "status" in how or path not in server.files:
            return self.send_error(how.get("status", 404))
        body = how.get("body", server.files[path])
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        start, status = 0, 200
        wanted = self.headers.get("Range")
        same = how.get("ignore_if_range") or self.headers.get("If-Range") == tag
        if wanted and same and not how.get("ignore_range"):
            start, status = int(wanted[6:].rstrip("-")), 206
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                return self.end_headers()
        self.send_response(status)
        self.send_header("Content-Type", how.get("type", "application/zip"))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if how.get("length", True):
            self.send_header("Content-Length", str(len(body) - start + how.get("lie", 0)))
        if how.get("versioned", True):
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(body[start:][: how.get("drop")])
