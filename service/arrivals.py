"""Results that other threads make, awaited on an event loop.

What ``asyncio.wrap_future`` does, but a loop is woken once for all that arrive together: waking
it costs a system call and lets go of the interpreter in the middle of a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future


class Arrivals:
    """Awaits futures on one event loop."""

    def __init__(self) -> None:
        self._arrived: deque[asyncio.Future[None]] = deque()
        self._woken = False

    async def wait(self, future: Future[Any]) -> None:
        """Return once a future is done, whatever it holds; who is cancelled here cancels it."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        future.add_done_callback(partial(self._arrive, loop, waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            future.cancel()
            raise

    def _arrive(
        self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None], _future: Future[Any]
    ) -> None:
        """In the thread that made the result."""
        self._arrived.append(waiter)
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        # First: what arrives from here on wakes the loop again.
        self._woken = False
        while self._arrived:
            waiter = self._arrived.popleft()
            if not waiter.done():
                waiter.set_result(None)
