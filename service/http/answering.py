"""How an event loop answers: what is quick in place, all else in threads or joined with others."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from service.http.messages import QUICK_BYTES, Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from service.admission import Admission, Place
    from service.exchange import Exchange
    from service.http.messages import Api, Request
    from service.protocols.inference import Inference


class Pending:
    """An answer that is made elsewhere.

    Attributes:
        place: What it takes up until then; none if nobody counts.
        tell: Called on the event loop once it can be had, or was given up; to be set at once.
    """

    __slots__ = ("_finish", "_future", "_given_up", "place", "tell")

    def __init__(
        self, finish: Callable[[Future[Any]], Response], place: Place | None = None
    ) -> None:
        self.place = place
        self.tell: Callable[[], None] = lambda: None
        self._finish = finish
        self._future: Future[Any] | None = None
        self._given_up = False

    @property
    def given_up(self) -> bool:
        """Whether nothing was computed, since nobody waits any more."""
        return self._future is None or self._future.cancelled()

    def give_up(self) -> None:
        """Nobody waits any more: what has not begun is not computed."""
        self._given_up = True
        if self._future is not None:
            self._future.cancel()

    def finish(self) -> Response:
        """Make the answer, once it can be had and was not given up."""
        future, self._future = self._future, None
        if future is None:
            raise RuntimeError("the answer cannot be had")
        return self._finish(future)

    def wait_for(
        self, begin: Callable[[], Future[Any]], arrived: Callable[[Pending], None]
    ) -> None:
        """Begin what computes it, unless it was given up."""
        if self._given_up:
            arrived(self)
            return
        try:
            self._future = begin()
        except Exception as error:  # noqa: BLE001 - raised again where the answer is made
            self._future = Future()
            self._future.set_exception(error)
        self._future.add_done_callback(lambda _: arrived(self))


class Answering:
    """Begins answers, and tells when they can be had.

    Requests to be joined are handed over at the end of the loop's turn, so that those that came
    together are joined; answers that arrive together wake the loop once.

    Args:
        threads: Where requests run that the event loop may not wait for.
        admission: Says how much may be in flight; None for any amount.
        timeout_s: Seconds after which nobody waits for an answer any more.

    Attributes:
        pending: How many answers are being made elsewhere.
    """

    def __init__(
        self,
        threads: Executor,
        admission: Admission | None = None,
        timeout_s: float = math.inf,
    ) -> None:
        self.pending = 0
        self._admission = admission
        self._threads = threads
        self._timeout_s = timeout_s
        self._to_join: list[tuple[Inference[Response], Pending]] = []
        self._arrived: deque[Pending] = deque()
        self._woken = False

    def start(
        self, api: Api, request: Request, exchange: Exchange, *, light: bool
    ) -> Response | Pending:
        """Answer a request, or see to it that it is answered; on the event loop.

        Args:
            api: The protocol that it speaks.
            request: The request.
            exchange: Where what is learnt of it is noted.
            light: What ``Api.is_light`` says of its head.
        """
        size = len(request.body)
        try:
            if not light or size > QUICK_BYTES:
                place = self._take(exchange, size)
                return self._in_thread(lambda: _in_turn(api, request, exchange), place)
            step = api.begin(request, exchange)
            if isinstance(step, Response):
                return step
            executor = step.version.executor
            if executor.quick:
                return step.run()
            place = self._take(exchange, size)
        except Exception as error:  # noqa: BLE001 - the one boundary: every error gets its answer
            return api.fail(error, request, exchange)

        def finish(outputs: Future[Any]) -> Response:
            try:
                return step.finish(outputs)
            except Exception as error:  # noqa: BLE001 - as above
                return api.fail(error, request, exchange)

        if executor.joins:
            return self._join(step, Pending(finish, place))
        return self._in_thread(lambda: _whole(api, request, exchange, step), place)

    def _take(self, exchange: Exchange, size: int) -> Place | None:
        exchange.deadline_s = exchange.started_s + self._timeout_s
        return None if self._admission is None else self._admission.take(exchange, size)

    def _in_thread(self, answer: Callable[[], Response], place: Place | None) -> Pending:
        pending = Pending(lambda future: future.result(), place)
        self.pending += 1
        arrived = self._arrival()
        pending.wait_for(lambda: self._threads.submit(answer), arrived)
        return pending

    def _join(self, step: Inference[Response], pending: Pending) -> Pending:
        if not self._to_join:
            asyncio.get_running_loop().call_soon(self._submit_all)
        self._to_join.append((step, pending))
        self.pending += 1
        return pending

    def _submit_all(self) -> None:
        waiting, self._to_join = self._to_join, []
        arrived = self._arrival()
        for step, pending in waiting:
            pending.wait_for(step.submit, arrived)

    def _arrival(self) -> Callable[[Pending], None]:
        """What is called, in any thread, when an answer can be had."""
        loop = asyncio.get_running_loop()

        def arrived(pending: Pending) -> None:
            self._arrived.append(pending)
            if not self._woken:
                self._woken = True
                with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                    loop.call_soon_threadsafe(self._tell_all)

        return arrived

    def _tell_all(self) -> None:
        # First: what arrives from here on wakes the loop again.
        self._woken = False
        while self._arrived:
            self.pending -= 1
            pending = self._arrived.popleft()
            if self._admission is not None and pending.place is not None:
                self._admission.give(pending.place)
            pending.tell()


def _in_turn(api: Api, request: Request, exchange: Exchange) -> Response:
    exchange.taken()
    return api.answer(request, exchange)


def _whole(api: Api, request: Request, exchange: Exchange, step: Inference[Response]) -> Response:
    try:
        return step.run()
    except Exception as error:  # noqa: BLE001 - the one boundary: every error gets its answer
        return api.fail(error, request, exchange)
