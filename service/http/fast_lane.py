"""The hot routes answered on the parser, before gunicorn sees their bytes.

A connection is gunicorn's. Plain requests to a protocol's routes are taken here from
their first byte to their last and answered; anything else is gunicorn's from its first
byte on. What a request means is decided by the same functions either way: this module
knows only where a request ends and how an answer is framed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from service.errors import DeadlineExceeded, HearthError, RequestTimeout
from service.http import gate
from service.http.answering import Pending
from service.http.heads import END
from service.http.messages import (
    CLIENT_LEFT,
    REQUEST_ID_HEADER,
    TRACE_HEADER,
    Request,
    Response,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from service.exchange import Exchange, Exchanges, Trace
    from service.health import Health
    from service.http.answering import Answering
    from service.http.heads import Head, Heads
    from service.security.guard import Guard

# Requests that came at once and are answered in one go, before others have their turn.
_IN_ONE_GO: Final = 32
# Answers of one turn that wait for each other at the most.
_MAX_HELD: Final = 32
# Bytes behind a request that is being answered from which no more are read.
_MAX_QUEUED_BYTES: Final = 256 * 1024
_ID_NAME: Final = REQUEST_ID_HEADER.encode()
_TRACE_NAME: Final = TRACE_HEADER.encode()
_CLOSE: Final = (("Connection", "close"),)


class Outbox:
    """Sends answers of one turn of the event loop together.

    To send an answer to a client on the same machine wakes that client, which costs more
    than the answer if it is done for each alone. The first answer of a turn goes at once;
    those that the same turn makes for others follow when all are made.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._in_turn = False
        self._held: list[tuple[asyncio.Transport, bytes]] = []

    def send(self, transport: asyncio.Transport, answers: bytes) -> None:
        """Send bytes, now or at the end of this turn."""
        if self._in_turn:
            self._held.append((transport, answers))
            if len(self._held) >= _MAX_HELD:
                self.flush()
            return
        self._in_turn = True
        self._loop.call_soon(self._end_turn)
        transport.write(answers)

    def flush(self) -> None:
        """Send what is held: whoever writes to a connection by another way calls this first."""
        held, self._held = self._held, []
        for transport, answers in held:
            if not transport.is_closing():
                transport.write(answers)

    def _end_turn(self) -> None:
        self._in_turn = False
        self.flush()


@dataclass(frozen=True, slots=True)
class Lane:
    """What the connections of one worker share.

    Attributes:
        heads: Reads heads.
        answering: Begins answers.
        exchanges: Begins and ends requests for log and metrics.
        health: Whether the worker goes down.
        loop: The event loop.
        outbox: Sends answers.
        body_timeout_s: Seconds that a body may take to arrive.
        request_timeout_s: Seconds that a request may take once it is there.
        guard: Says who may come in; None where anybody may.
    """

    heads: Heads
    answering: Answering
    exchanges: Exchanges
    health: Health
    loop: asyncio.AbstractEventLoop
    outbox: Outbox
    body_timeout_s: float
    request_timeout_s: float
    guard: Guard | None = None


class _Body:
    """A body that has not come whole yet."""

    __slots__ = ("exchange", "head", "missing", "parts", "timer")

    def __init__(
        self, head: Head, exchange: Exchange, part: bytes, timer: asyncio.TimerHandle
    ) -> None:
        self.head = head
        self.exchange = exchange
        self.parts = [part]
        self.missing = head.body_bytes - len(part)
        self.timer = timer


class _Waiting:
    """A request whose answer is made elsewhere."""

    __slots__ = ("exchange", "head", "pending", "request", "timer")

    def __init__(self, head: Head, request: Request, exchange: Exchange, pending: Pending) -> None:
        self.head = head
        self.request = request
        self.exchange = exchange
        self.pending = pending
        self.timer: asyncio.TimerHandle | None = None


class FastLane:
    """The lane of one connection.

    Args:
        lane: What all connections share.
        transport: Where answers go.
        client: The caller's address.
        hand_over: Takes bytes that turn out not to be for the lane when they did not just come.
        certificate: The names of the caller's certificate.
    """

    def __init__(
        self,
        lane: Lane,
        transport: asyncio.Transport,
        client: str,
        hand_over: Callable[[bytes], None],
        certificate: tuple[str, ...] = (),
    ) -> None:
        self._lane = lane
        self._heads = lane.heads
        self._known = lane.heads.known
        self._exchanges = lane.exchanges
        self._health = lane.health
        self._outbox = lane.outbox
        self._transport = transport
        self._client = client
        self._hand_over = hand_over
        self._guard = lane.guard
        self._certificate = certificate
        self._body: _Body | None = None
        self._waiting: _Waiting | None = None
        self._queued = bytearray()
        self._yielding = False
        self._ending = False
        self._closed = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is received or answered."""
        return self._body is None and self._waiting is None and not self._yielding

    def receive(self, data: bytes) -> bytes:
        """Take bytes, and answer what they complete.

        Args:
            data: What has come.

        Returns:
            The bytes from the first request on that is not for the lane.
        """
        if self._waiting is None and self._body is None and not self._yielding:
            return b"" if self._answer_usual(data) else self._answer_all(data)
        if self._waiting is not None or self._yielding:
            self._queue(data)
            return b""
        if self._body is not None:
            data = self._collect(self._body, data)
        return self._answer_all(data) if data else b""

    def _answer_usual(self, data: bytes) -> bool:
        """Answer one whole request that has a shortcut; whether it was one."""
        end = data.find(END) + len(END)
        head = self._known.get(data[:end])
        if head is None or head.shortcut is None or len(data) != end + head.body_bytes:
            return False
        exchange = self._exchanges.begin(
            "POST", head.path, self._client, head.request_id, observed=head.observed
        )
        body = data[end:]
        short = None if self._guard is None else self._refusal(self._guard, head, exchange)
        if short is None:
            short = head.shortcut(body, exchange)
        if short is None:
            self._write(self._start(head, body, exchange))
            return True
        self._exchanges.end(exchange, short.status)
        self._write(self._framed(short, exchange))
        return True

    def _refusal(self, guard: Guard, head: Head, exchange: Exchange) -> Response | None:
        """The answer to a request that may not come in; None if it may."""
        asked = head.asked
        if asked is None:
            return None
        if self._certificate or guard.limits_addresses:
            client = self._client if guard.limits_addresses else ""
            asked = asked._replace(certificate=self._certificate, client=client)
        try:
            exchange.caller = guard.admit(asked)
        except HearthError as error:
            request = Request("POST", head.path, head.query, head.headers)
            return gate.refuse(head.api, error, request, exchange)
        return None

    def close(self) -> None:
        """The client has left."""
        self._closed = True
        self._queued.clear()
        if self._body is not None:
            self._body.timer.cancel()
        if self._waiting is not None:
            self._waiting.pending.give_up()

    def _answer_all(self, data: bytes) -> bytes:
        """Answer the requests that bytes begin with; what is left is not for the lane."""
        answers = b""
        for _ in range(_IN_ONE_GO):
            end = data.find(END) + len(END)
            head = self._heads.read(data[:end]) if end >= len(END) else None
            if head is None:
                self._write(answers)
                return data
            whole = end + head.body_bytes
            if len(data) < whole:
                self._write(answers)
                return b"" if self._expect_body(head, data[end:]) else data
            answer = self._answer(head, data[end:whole])
            data = data[whole:]
            if answer is None:
                self._write(answers)
                self._queue(data)
                return b""
            answers = answers + answer if answers else answer
            if not data or self._ending:
                self._write(answers)
                return b""
        self._write(answers)
        self._yield(data)
        return b""

    def _answer(self, head: Head, body: bytes) -> bytes | None:
        """The answer to a request; None if it is made elsewhere."""
        exchange = self._begin(head)
        if self._guard is not None:
            refused = self._refusal(self._guard, head, exchange)
            if refused is not None:
                self._exchanges.end(exchange, refused.status)
                return self._framed(refused, exchange)
        return self._start(head, body, exchange)

    def _begin(self, head: Head) -> Exchange:
        return self._exchanges.begin(
            *("POST", head.path, self._client, head.request_id, head.headers),
            observed=head.observed,
        )

    def _start(self, head: Head, body: bytes, exchange: Exchange) -> bytes | None:
        """The answer to a request that may come in; None if it is made elsewhere."""
        request = Request("POST", head.path, head.query, head.headers, body)
        answer = self._lane.answering.start(head.api, request, exchange, light=head.light)
        if isinstance(answer, Pending):
            self._wait(_Waiting(head, request, exchange, answer))
            return None
        self._exchanges.end(exchange, answer.status)
        return self._framed(answer, exchange)

    def _framed(self, response: Response, exchange: Exchange) -> bytes:
        """An answer's bytes; the last of a connection says so."""
        if self._health.draining or self._ending:
            self._ending = True
            further = response.headers + _CLOSE
            response = Response(response.status, response.body, response.content_type, further)
        return framed(response, exchange.request_id, exchange.trace)

    def _write(self, answers: bytes | None) -> None:
        if answers:
            self._outbox.send(self._transport, answers)
        if self._ending:
            self._outbox.flush()
            self._closed = True
            self._queued.clear()
            self._transport.close()

    def _wait(self, waiting: _Waiting) -> None:
        lane = self._lane
        self._waiting = waiting
        waiting.timer = lane.loop.call_later(lane.request_timeout_s, self._give_up, waiting)
        waiting.pending.tell = lambda: self._finish(waiting)

    def _finish(self, waiting: _Waiting) -> None:
        """Send an answer that was made elsewhere, and go on with what came meanwhile."""
        if self._waiting is not waiting:
            return  # it was given up
        if waiting.pending.given_up:
            waiting.exchange.left()
            self._end(waiting, Response(CLIENT_LEFT, b""))
            return
        self._end(waiting, waiting.pending.finish())

    def _give_up(self, waiting: _Waiting) -> None:
        waiting.pending.give_up()
        limit = f"the request took longer than {self._lane.request_timeout_s:g} s"
        failed = waiting.head.api.fail(DeadlineExceeded(limit), waiting.request, waiting.exchange)
        self._ending = True
        self._end(waiting, failed)

    def _end(self, waiting: _Waiting, response: Response) -> None:
        self._waiting = None
        if waiting.timer is not None:
            waiting.timer.cancel()
        # It knows who waits for it: without this the collector would have to part them.
        del waiting.pending
        self._exchanges.end(waiting.exchange, response.status)
        if self._closed:
            return
        self._write(self._framed(response, waiting.exchange))
        self._go_on()

    def _queue(self, data: bytes) -> None:
        """Keep bytes that came behind a request which has no answer yet."""
        self._queued += data
        if len(self._queued) > _MAX_QUEUED_BYTES:
            self._transport.pause_reading()

    def _yield(self, data: bytes) -> None:
        self._yielding = True
        self._queue(data)
        self._lane.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Take the bytes that came meanwhile."""
        self._yielding = False
        if self._closed:
            return
        data = bytes(self._queued)
        self._queued.clear()
        if len(data) > _MAX_QUEUED_BYTES:
            self._transport.resume_reading()
        rest = self.receive(data) if data else b""
        if rest:
            self._hand_over(rest)

    def _expect_body(self, head: Head, part: bytes) -> bool:
        """Wait for the rest of a body; of a request that may not come in, gunicorn does not."""
        exchange = self._begin(head)
        if self._guard is not None and self._refusal(self._guard, head, exchange) is not None:
            return False
        timer = self._lane.loop.call_later(self._lane.body_timeout_s, self._refuse_body)
        self._body = _Body(head, exchange, part, timer)
        return True

    def _collect(self, body: _Body, data: bytes) -> bytes:
        """Add to the body that is missing; answer it if it is whole.

        Returns:
            The bytes behind it.
        """
        if len(data) < body.missing:
            body.parts.append(data)
            body.missing -= len(data)
            return b""
        body.parts.append(data[: body.missing])
        data = data[body.missing :]
        self._body = None
        body.timer.cancel()
        body.exchange.started_s = time.perf_counter()
        answer = self._start(body.head, b"".join(body.parts), body.exchange)
        if answer is None:
            self._queue(data)
            return b""
        self._write(answer)
        return b"" if self._ending else data

    def _refuse_body(self) -> None:
        body, self._body = self._body, None
        if body is None or self._closed:
            return
        head, exchange = body.head, body.exchange
        exchange.started_s = time.perf_counter()
        request = Request("POST", head.path, head.query, head.headers)
        error = RequestTimeout(f"the body did not arrive within {self._lane.body_timeout_s:g} s")
        response = head.api.fail(error, request, exchange)
        self._exchanges.end(exchange, response.status)
        self._ending = True
        self._write(self._framed(response, exchange))


@lru_cache(maxsize=1024)
def _start(status: int, content_type: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    """What an answer begins with, up to the headers that differ from one to the next."""
    lines = [("content-type", content_type), *headers]
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
    return (head + "".join(f"{name}: {value}\r\n" for name, value in lines)).encode("latin-1")


def framed(response: Response, request_id: str, trace: Trace | None = None) -> bytes:
    """An answer as it goes over the wire."""
    body, own = response.body, request_id.encode()
    if trace is not None:
        own += b"\r\n%b: %b" % (_TRACE_NAME, trace.context.encode())
    return b"%bcontent-length: %d\r\n%b: %b\r\n\r\n%b" % (
        _start(response.status, response.content_type, response.headers),
        len(body),
        _ID_NAME,
        own,
        body,
    )
