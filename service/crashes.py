"""How often workers have crashed, shared by the master, which counts, and the workers, who tell."""

from __future__ import annotations

import mmap
import struct
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Crashes in a row, all crashes, and when the next worker may begin on the monotonic clock.
_FORM: Final = struct.Struct("=QQd")
# Seconds that a worker is kept waiting after the second crash in a row, and at the most.
_FIRST_S: Final = 1.0
_LONGEST_S: Final = 30.0
# Seconds without a crash after which the next one is the first again.
_FORGOTTEN_S: Final = 60.0
# Crashes in a row from which it is said that workers crash again and again.
_REPEATED: Final = 3


class Crashes:
    """Counts crashes, and says how long to wait before a worker takes a crashed one's place.

    The first is replaced at once; after that it is one second, two, four and so on, up to 30:
    what crashes at every start must not take the machine away from what still works.

    Args:
        clock: The monotonic clock, which all processes share.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Anonymous and shared: whoever is forked from here on sees what is written.
        self._memory = mmap.mmap(-1, _FORM.size)
        self._last_s = -_FORGOTTEN_S

    @property
    def total(self) -> int:
        """Workers that have crashed since the start."""
        return int(self._read()[1])

    @property
    def wait_s(self) -> float:
        """Seconds to wait before another worker may begin; 0 for none."""
        return max(0.0, float(self._read()[2]) - self._clock())

    def count(self) -> None:
        """A worker has crashed; in the master alone."""
        in_a_row, total, _ = self._read()
        now_s = self._clock()
        in_a_row = 1 if now_s - self._last_s > _FORGOTTEN_S else in_a_row + 1
        self._last_s = now_s
        wait_s = min(_LONGEST_S, _FIRST_S * 2.0 ** (in_a_row - 2)) if in_a_row > 1 else 0.0
        _FORM.pack_into(self._memory, 0, in_a_row, total + 1, now_s + wait_s)

    def problem(self) -> str:
        """What to tell of it; empty while workers do not crash again and again."""
        in_a_row, _, next_s = self._read()
        now_s = self._clock()
        if in_a_row < _REPEATED or now_s > next_s + _FORGOTTEN_S:
            return ""
        due = f", the next begins in {next_s - now_s:.0f} s" if next_s > now_s else ""
        return f"{in_a_row} workers have crashed one after the other{due}"

    def _read(self) -> tuple[int, int, float]:
        return _FORM.unpack_from(self._memory)
