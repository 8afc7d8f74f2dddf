"""What happens to a server meanwhile: versions that come and go, broken ones, rude clients."""

from __future__ import annotations

import http.client
import itertools
import shutil
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from service.contract import LITERT_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_KEPT: Final = 2
_SWAP_LIMIT_S: Final = 60.0
_LOOK_S: Final = 0.1
_HALF: Final = (
    b"POST /v1/models/housing:predict HTTP/1.1\r\nHost: here\r\nContent-Length: 999\r\n\r\n{"
)


class Faults:
    """A thread that makes one fault after the other; entered and left as a context.

    Args:
        base: The folder of the model's versions, ``1`` among them.
        port: The server's port of REST.
        pause_s: Seconds between faults.

    Attributes:
        made: How many of each, by name.
    """

    def __init__(self, base: Path, port: int, pause_s: float) -> None:
        self.made = {"swap": 0, "broken version": 0, "half request": 0, "storage gone": 0}
        self._base = base
        self._whole = [base / "1"]
        self._good = base.parent / "good"
        self._port = port
        self._pause_s = pause_s
        self._numbers = itertools.count(2)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._make)
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        shutil.copytree(self._base / "1", self._good)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _make(self) -> None:
        kinds: dict[str, Callable[[], None]] = {
            "swap": self._swap,
            "broken version": self._break,
            "half request": self._leave,
            "storage gone": self._lose_storage,
        }
        try:
            for name in itertools.cycle(kinds):
                if self._stopped.wait(self._pause_s):
                    return
                kinds[name]()
                self.made[name] += 1
        except (OSError, http.client.HTTPException) as error:
            self.error = error

    def _swap(self) -> None:
        """A new version; once it is served, the older ones but for one go."""
        added = self._add(lambda _: None)
        deadline_s = time.monotonic() + _SWAP_LIMIT_S
        while not self._is_served(added.name):
            if self._stopped.wait(_LOOK_S):
                return
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"version {added.name} is not served in {_SWAP_LIMIT_S:g} s")
        self._whole.append(added)
        while len(self._whole) > _KEPT:
            shutil.rmtree(self._whole.pop(0))

    def _is_served(self, version: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", f"/v1/models/housing/versions/{version}")
            return b'"AVAILABLE"' in connection.getresponse().read()
        finally:
            connection.close()

    def _break(self) -> None:
        """A version whose network is cut off and described by nothing."""

        def cut(version: Path) -> None:
            content = (version / LITERT_MODEL).read_bytes()
            shutil.rmtree(version)
            version.mkdir()
            (version / LITERT_MODEL).write_bytes(content[: len(content) // 2])

        broken = self._add(cut)
        self._stopped.wait(self._pause_s)
        shutil.rmtree(broken)

    def _leave(self) -> None:
        """A client that begins a request and leaves."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection:
            connection.sendall(_HALF)

    def _lose_storage(self) -> None:
        away = self._base.rename(self._base.parent / "away")
        self._stopped.wait(self._pause_s)
        away.rename(self._base)

    def _add(self, change: Callable[[Path], None]) -> Path:
        made = self._base.parent / "made"
        shutil.copytree(self._good, made)
        change(made)
        return made.rename(self._base / str(next(self._numbers)))
