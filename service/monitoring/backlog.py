"""Work that a thread does later: a bounded queue, so that nobody waits for a disk."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

_MOST: Final = 4096
_LOOK_S: Final = 0.5
_END_S: Final = 10.0


class Backlog(Generic[_T]):
    """What waits for a thread, which begins with the first of it.

    Args:
        name: The thread's name.
        work: Does what waits, all that there is at a time, and is called without any too, from
            time to time; it raises nothing.
        end: Called last, in the same thread.
    """

    def __init__(
        self, name: str, work: Callable[[list[_T]], None], end: Callable[[], None]
    ) -> None:
        self._name = name
        self._work = work
        self._end = end
        self._waiting: deque[_T] = deque()
        self._wake = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None

    def put(self, item: _T) -> bool:
        """Let something wait; False if as much waits as may."""
        if len(self._waiting) >= _MOST:
            return False
        self._waiting.append(item)
        return True

    def wake(self) -> None:
        """Let the thread do what waits; for one thread at a time."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """Do what waits, and end."""
        self._ending = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_END_S)

    def _run(self) -> None:
        while not self._ending:
            self._wake.wait(_LOOK_S)
            self._wake.clear()
            self._work(self._taken())
        self._work(self._taken())
        self._end()

    def _taken(self) -> list[_T]:
        return [self._waiting.popleft() for _ in range(len(self._waiting))]
