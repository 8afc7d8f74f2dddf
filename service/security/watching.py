"""Files that are read again when they change."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from service.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_log: Final = logging.getLogger("hearth.security")
_POLL_S: Final = 1.0


class FileWatch:
    """Looks at files in a thread of its own, and says when one has changed.

    Args:
        poll_s: Seconds between looks.
    """

    def __init__(self, poll_s: float = _POLL_S) -> None:
        self._poll_s = poll_s
        self._files: list[_File] = []
        self._stopped = threading.Event()

    def add(self, path: Path, read: Callable[[], None]) -> None:
        """Watch a file that has just been read.

        Args:
            path: The file.
            read: Called when it is another. What it raises is logged, and what was read
                before stays.
        """
        self._files.append(_File(path, read))

    def start(self) -> None:
        """Begin, if there is anything to look at."""
        if self._files:
            threading.Thread(target=self._run, name="files", daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()

    def look(self) -> None:
        """Look at all files once."""
        for file in self._files:
            file.look()

    def _run(self) -> None:
        while not self._stopped.wait(self._poll_s):
            self.look()


class _File:
    def __init__(self, path: Path, read: Callable[[], None]) -> None:
        self._path = path
        self._read = read
        self._seen = _state(path)

    def look(self) -> None:
        seen = _state(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._read()
        except (InvalidRequest, OSError, ValueError) as error:
            _log.error("what was read of %s before stays: %s", self._path.name, error)
        else:
            _log.info("%s was read again", self._path.name)


def _state(path: Path) -> tuple[int, int, int] | None:
    """What differs once a file is another one, or is a link to another; None if it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
