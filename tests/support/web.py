"""A web server in a thread, with the faults that servers and lines have."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TRUE = -1


@dataclass
class Page:
    """What lies at a path.

    Attributes:
        content: its bytes.
        length: the length that is claimed; None for no claim. Default: the true one.
        etag: its state; a page with one is given from any byte on. Default: none, and only from the start.
        sent: after so many bytes the line is cut. Default: all are sent.
        ready: what an answer waits for. Default: nothing.
    """

    content: bytes
    length: int | None = TRUE
    etag: str | None = None
    sent: int | None = None
    ready: threading.Event | None = None


@dataclass
class Site:
    """Pages by path, and what was asked for: paths, and the ranges of bytes, in order."""

    root: str = ""
    pages: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    ranges: list = field(default_factory=list)


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server.site
        wanted = self.headers.get("Range")
        site.asked.append(self.path)
        site.ranges.append(wanted)
        page = site.pages.get(self.path)
        if page is None:
            self.send_error(404)
            return
        if page.ready:
            page.ready.wait(60)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and page.etag else 0
        if start and start >= len(page.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(page.content) - 1}/{len(page.content)}")
        if page.etag:
            self.send_header("ETag", page.etag)
        if page.length is not None:
            self.send_header("Content-Length", str((len(page.content) if page.length == TRUE else page.length) - start))
        self.end_headers()
        self.wfile.write(page.content[start : page.sent])

    def log_message(self, *_):
        pass


@contextmanager
def serve():
    """A site on this machine while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    server.site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
