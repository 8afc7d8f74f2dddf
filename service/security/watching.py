"""Files that are read again when they change."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
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

    def add(
        self,
        path: Path,
        read: Callable[[], None],
        named: Callable[[], Iterable[Path]] = tuple,
    ) -> None:
        """Watch a file that has just been read.

        Args:
            path: The file.
            read: Called when it is another. What it raises is logged, and what was read
                before stays; it is called again until it raises nothing.
            named: Other files, which this one names now: it is read again for them too.
        """
        self._files.append(_File(path, read, named))

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
    def __init__(
        self, path: Path, read: Callable[[], None], named: Callable[[], Iterable[Path]]
    ) -> None:
        self._path = path
        self._read = read
        self._named = named
        self._seen = self._states()
        self._problem = ""

    def look(self) -> None:
        seen = self._states()
        if seen == self._seen and not self._problem:
            return
        others = [it.name for it in seen if seen[it] != self._seen.get(it)]
        names = ", ".join(others or [self._path.name])
        self._seen = seen
        before, self._problem = self._problem, ""
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - the thread must go on, or no key is ever taken away
            self._problem = str(error) or type(error).__name__
            if self._problem != before:
                _log.error("what was read of %s before stays: %s", names, self._problem)
        else:
            _log.info("%s was read again", names)

    def _states(self) -> dict[Path, tuple[int, int, int] | None]:
        return {it: _state(it) for it in (self._path, *self._named())}


def _state(path: Path) -> tuple[int, int, int] | None:
    """What differs once a file is another one, or is a link to another; None if it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
