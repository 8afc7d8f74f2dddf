"""Files that are mapped into memory have their place on the disk before they are written.

To write to a page that the disk has no place for ends the process (SIGBUS): a full disk would
end every worker that counts.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

if TYPE_CHECKING:
    from typing import IO

# As many bytes as prometheus_client begins a file with, and those of one number beside its key.
_BEGINNING: Final = 1 << 16
_NUMBER: Final = 32


def allocate(path: Path, size: int) -> None:
    """Make a file of so many zeros, whatever was there before.

    Raises:
        OSError: The disk is full.
    """
    with path.open("wb") as file:
        _reserve(file, size)


def _reserve(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:  # macOS
        file.truncate(size)


class Numbers(MmapedDict):
    """prometheus_client's file of numbers.

    Args:
        filename: Where.
        read_mode: It is only read.

    Raises:
        OSError: The disk is full.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        path = Path(filename)
        if not read_mode and not (path.exists() and path.stat().st_size):
            allocate(path, _BEGINNING)
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> Any:
        needed = self._used + len(key.encode()) + _NUMBER
        while needed > self._capacity:
            _reserve(self._f, 2 * self._capacity)
            self._capacity *= 2
            self._m = mmap.mmap(self._f.fileno(), self._capacity)
        return super()._init_value(key)  # type: ignore[no-untyped-call]


def allocate_numbers() -> None:
    """Let prometheus_client keep its numbers so, in this process."""
    values.MmapedDict = Numbers  # type: ignore[attr-defined]  # imported there
