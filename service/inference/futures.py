"""Futures that know their times, made from a call here or elsewhere, or from another's result."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Timed(Future[_Out]):
    """A future that knows when its result was begun and when it was there.

    Attributes:
        began_s: When, on the clock of ``time.perf_counter``; 0 before.
        ended_s: When, on the same clock; 0 before.
    """

    began_s = 0.0
    ended_s = 0.0

    def set_running_or_notify_cancel(self) -> bool:
        """Note that its result is begun, unless it was given up; whether it is."""
        self.began_s = time.perf_counter()
        return super().set_running_or_notify_cancel()

    def set_result(self, result: _Out) -> None:
        """Give its result."""
        self.ended_s = time.perf_counter()
        super().set_result(result)

    def settle(self, function: Callable[[], _Out]) -> None:
        """Give the outcome of a call that is made now, unless it was given up."""
        if self.set_running_or_notify_cancel():
            _settle(self, function)


def called(function: Callable[[], _Out]) -> Timed[_Out]:
    """The outcome of a call that is made at once."""
    future: Timed[_Out] = Timed()
    future.settle(function)
    return future


class Mapped(Timed[_Out], Generic[_In, _Out]):
    """What a function makes of another future's result; cancelling it cancels the other.

    Args:
        source: The other future.
        function: What to make of its result, in whatever thread gives it.
    """

    def __init__(self, source: Future[_In], function: Callable[[_In], _Out]) -> None:
        super().__init__()
        self._source = source
        self._function = function
        source.add_done_callback(self._finish)

    def cancel(self) -> bool:
        """Give it up, unless the other is running; whether it is given up."""
        return self._source.cancel() and self.cancelled()

    def _finish(self, source: Future[_In]) -> None:
        if source.cancelled():
            super().cancel()
        elif self.set_running_or_notify_cancel():
            if isinstance(source, Timed):
                self.began_s = source.began_s
            _settle(self, lambda: self._function(source.result()))


def _settle(future: Future[_Out], function: Callable[[], _Out]) -> None:
    try:
        future.set_result(function())
    except Exception as error:  # noqa: BLE001 - handed to who waits for the result
        future.set_exception(error)
