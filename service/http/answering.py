"""How an event loop answers: what is quick in place, all else in threads or joined with others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.http.messages import QUICK_BYTES, Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from service.exchange import Exchange
    from service.http.messages import Api, Request


@dataclass(frozen=True, slots=True)
class Pending:
    """An answer that is made elsewhere.

    Attributes:
        future: Done when it can be had; cancelling it takes the request out of the queue.
        finish: Makes the answer, once the future is done.
    """

    future: Future[Any]
    finish: Callable[[], Response]


class Answering:
    """Begins answers.

    Args:
        threads: Where requests run that the event loop may not wait for.
    """

    def __init__(self, threads: Executor) -> None:
        self._threads = threads

    def start(
        self, api: Api, request: Request, exchange: Exchange, *, light: bool
    ) -> Response | Pending:
        """Answer a request, or see to it that it is answered.

        Args:
            api: The protocol that it speaks.
            request: The request.
            exchange: Where what is learnt of it is noted.
            light: What ``Api.is_light`` says of its head.
        """
        if not light or len(request.body) > QUICK_BYTES:
            whole = self._threads.submit(api.answer, request, exchange)
            return Pending(whole, whole.result)
        try:
            step = api.begin(request, exchange)
            if isinstance(step, Response):
                return step
            executor = step.version.executor
            if executor.quick:
                return step.run()
            running = step.submit() if executor.joins else self._threads.submit(step.run)
        except Exception as error:  # noqa: BLE001 - the one boundary: every error gets its answer
            return api.fail(error, request, exchange)

        def finish() -> Response:
            try:
                # In a thread the whole answer is made.
                return step.finish(running) if executor.joins else running.result()
            except Exception as error:  # noqa: BLE001 - as above
                return api.fail(error, request, exchange)

        return Pending(running, finish)
