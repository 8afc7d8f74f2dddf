"""A web server on the loopback address that keeps model versions, and can be told to fail."""

from __future__ import annotations

import contextlib
import functools
import threading
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers import in_a_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


class Shop(ThreadingHTTPServer):
    """Serves a folder.

    Attributes:
        asked: Paths that were asked for, in order.
        truncated: How often a file is to end too early, by the end of its path.
        held: Files that never end, by the end of their paths.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
        self.asked: list[str] = []
        self.truncated: dict[str, int] = {}
        self.held: set[str] = set()
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that has left is no news."""


class _Handler(SimpleHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self._is(self.server.held):
            self._begin()
            self.server.ended.wait(60)
        elif self._is({it for it, times in self.server.truncated.items() if times > 0}):
            self._begin()
        else:
            super().do_GET()

    def _is(self, ends: Any) -> bool:
        found = [it for it in ends if self.path.endswith(it)]
        for it in found:
            self.server.truncated[it] = self.server.truncated.get(it, 0) - 1
        return bool(found)

    def _begin(self) -> None:
        """Promise more than is given."""
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """What was asked stands in ``asked``."""


@contextlib.contextmanager
def shop(folder: Path) -> Iterator[Shop]:
    """Serve a folder."""
    server = Shop(folder)
    with in_a_thread(server):
        try:
            yield server
        finally:
            server.ended.set()
