"""A circuit breaker: who has failed again and again is left alone, but for a try now and then.

References:
    M. Nygard, Release It!, "Circuit Breaker".
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Breaker:
    """Counts failures in a row; after so many it is open, and calls are not to be made.

    Args:
        failures: How many in a row open it.
        open_s: Seconds until one call may try again; while that fails, so many more.
        clock: Seconds, from any beginning.
    """

    def __init__(
        self, failures: int = 5, open_s: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = failures
        self._open_s = open_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are held back."""
        return self._failures >= self._most

    def allows(self) -> bool:
        """Whether a call may be made now; of an open one's calls it is the one that tries."""
        if not self.is_open:
            return True
        with self._lock:
            now_s = self._clock()
            if self.is_open and now_s < self._next_s:
                return False
            self._next_s = now_s + self._open_s
            return True

    def succeeded(self) -> None:
        """A call was answered."""
        if self._failures:
            with self._lock:
                self._failures = 0

    def failed(self) -> None:
        """A call was not answered."""
        with self._lock:
            self._failures += 1
            self._next_s = self._clock() + self._open_s
