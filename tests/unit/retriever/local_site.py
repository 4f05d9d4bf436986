"""A web site on loopback for tests: pages by path, with what was asked kept. Nothing of it is reachable from elsewhere."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = "This paragraph says something that is long enough to be taken for the main text of a page by who counts its words."


@dataclass
class Answer:
    """What a path answers."""

    body: bytes = b""
    media_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: bool = True


@dataclass
class Site:
    """A running site."""

    url: str = ""
    pages: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Paths, in order."""
    agents: set[str] = field(default_factory=set)
    open_now: int = 0
    most_open: int = 0
    """Requests that were worked on at once."""

    def page(self, path: str, title: str, text: str = "", links: Mapping[str, str] | None = None, head: str = "") -> None:
        """A page of a heading, a paragraph of its own, and links."""
        more = "".join(f'<p><a href="{target}">{words}</a></p>' for target, words in (links or {}).items())
        body = (
            f"<article><h1>{title}</h1><p>{text or f'{title}. {WORDS}'}</p><p>More on {title} follows. {WORDS}</p></article>{more}"
        )
        html = f'<html lang="en"><head><title>{title}</title>{head}</head><body>{body}</body></html>'
        self.pages[path] = Answer(html.encode())


@contextmanager
def local_site() -> Iterator[Site]:
    site = Site()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with lock:
                site.asked.append(self.path)
                site.agents.add(self.headers.get("User-Agent", ""))
                site.open_now += 1
                site.most_open = max(site.most_open, site.open_now)
            try:
                self._answer(site.pages.get(self.path, Answer(b"not here", status=404, etag=False)))
            finally:
                with lock:
                    site.open_now -= 1

        def _answer(self, answer: Answer) -> None:
            tag = f'"{hashlib.sha256(answer.body).hexdigest()[:16]}"'
            fresh = answer.etag and answer.status == 200 and self.headers.get("If-None-Match") == tag
            self.send_response(304 if fresh else answer.status)
            if answer.etag:
                self.send_header("ETag", tag)
            self.send_header("Content-Type", answer.media_type)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0" if fresh else str(len(answer.body)))
            self.end_headers()
            if not fresh:
                self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            return  # a client that goes away is what some tests are about

    server = Server(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
