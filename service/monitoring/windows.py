"""Counts of the last while, kept by every worker in a file that all of them can read.

A file is memory-mapped: to count is to add to memory, whoever reads the file sees it at once,
and what a worker counted is there when it has died. Time is cut into parts of equal length, the
same ones for all workers; a file has a line for each part of the window and one more, so that no
line is overwritten while it counts.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from service.monitoring.allocation import allocate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_SUFFIX: Final = ".counts"


class Window:
    """The counts of one thing by all workers; safe for one writing thread at a time.

    Args:
        folder: Where the workers' files lie; made if it is not there.
        width: How many numbers are counted.
        seconds: How long a count counts.
        parts: Into how many parts the window is cut: it moves on by one at a time.
        clock: Seconds that all workers agree on.
    """

    def __init__(
        self,
        folder: Path,
        width: int,
        seconds: float,
        parts: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._shape = (parts + 1, width + 1)  # the first number says which part of time it is
        self._part_s = seconds / parts
        self._clock = clock
        self._own: NDArray[np.int64] | None = None
        self._owner = 0

    def add(self, counts: NDArray[np.int64]) -> None:
        """Count, ``[width]``, at this moment."""
        own, part = self._mapped(), self._part()
        line = own[part % len(own)]
        if line[0] != part:
            # In this order: who reads meanwhile takes it for a part that is not in the window.
            line[0] = -1
            line[1:] = 0
            line[0] = part
        line[1:] += counts

    def total(self) -> NDArray[np.int64]:
        """What all workers have counted within the window, ``[width]``."""
        now, parts = self._part(), self._shape[0] - 1
        total = np.zeros(self._shape[1] - 1, np.int64)
        for path, lines in self._files():
            counting = (lines[:, 0] > now - parts) & (lines[:, 0] <= now)
            if counting.any():
                total += lines[counting, 1:].sum(axis=0)
            elif not _is_alive(int(path.stem)):
                path.unlink(missing_ok=True)
        return total

    def _part(self) -> int:
        return int(self._clock() // self._part_s)

    def _mapped(self) -> NDArray[np.int64]:
        """This worker's own file."""
        if self._own is None or self._owner != os.getpid():
            self._owner = os.getpid()
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{self._owner}{_SUFFIX}"
            kept = path.exists() and path.stat().st_size == self._bytes()
            if not kept:
                allocate(path, self._bytes())
            self._own = np.memmap(path, np.int64, "r+", shape=self._shape)
        return self._own

    def _files(self) -> Iterator[tuple[Path, NDArray[np.int64]]]:
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            with contextlib.suppress(FileNotFoundError):  # another worker has tidied up
                content = path.read_bytes()
                if len(content) == self._bytes():  # else it is being made
                    yield path, np.frombuffer(content, np.int64).reshape(self._shape)

    def _bytes(self) -> int:
        return self._shape[0] * self._shape[1] * np.dtype(np.int64).itemsize


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
