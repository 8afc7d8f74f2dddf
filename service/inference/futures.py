"""Futures made from what is there already: a call that is made at once, another's result."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def called(function: Callable[[], _Out]) -> Future[_Out]:
    """The outcome of a call that is made at once."""
    future: Future[_Out] = Future()
    future.set_running_or_notify_cancel()
    _settle(future, function)
    return future


class Mapped(Future[_Out], Generic[_In, _Out]):
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
            _settle(self, lambda: self._function(source.result()))


def _settle(future: Future[_Out], function: Callable[[], _Out]) -> None:
    try:
        future.set_result(function())
    except Exception as error:  # noqa: BLE001 - handed to who waits for the result
        future.set_exception(error)
