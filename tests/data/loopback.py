"""Local file server that can interrupt a connection or serve other content."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """Server of `files` {path: bytes} with ranges. breaks: answers still to interrupt half way; log: (path, start).

    headers: added to every answer, None for one to leave out; without_tag: no ETag, no date; body: sends an answer's
    body in place of the server (called with the handler and the bytes).
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.breaks, self.log = dict(files), 0, []
        self.headers, self.without_tag, self.body = {}, False, None

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        content = self.server.files.get(self.path.lstrip("/"))
        if content is None:
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        tag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        if self.headers.get("If-Range", tag) != tag:
            wanted = None
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        if body:
            self.server.log.append((self.path.lstrip("/"), start))
        self.send_response(206 if wanted else 200)
        stated = {"Content-Length": str(len(content) - start)}
        if wanted:
            stated["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if not self.server.without_tag:
            stated["ETag"] = tag
        for name, value in (stated | self.server.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        if self.server.breaks:
            self.server.breaks -= 1
            self.wfile.write(content[start : start + (len(content) - start) // 2])
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True
            return
        if self.server.body:
            self.server.body(self, content[start:])
            self.close_connection = True
            return
        self.wfile.write(content[start:])


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[FileServer]:
    """Run the server in a thread until the block ends."""
    server = FileServer(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
