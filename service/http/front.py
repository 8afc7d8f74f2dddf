"""The ASGI application before Flask: bodies read within limits, the protocols answered.

A request is read whole before anything else, so a slow client holds no thread. Those of a
protocol are answered here, by the same functions that the Flask application calls; every
other goes to Flask in a thread.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from a2wsgi import WSGIMiddleware

from service.admission import Admission
from service.errors import DeadlineExceeded, HearthError, PayloadTooLarge, RequestTimeout
from service.exchange import OBSERVE, is_observed
from service.http import gate
from service.http.answering import Answering
from service.http.messages import (
    CLIENT_LEFT,
    EXCHANGE,
    REQUEST_ID_HEADER,
    TRACE_HEADER,
    Request,
    Response,
    find_api,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from flask import Flask

    from service.exchange import Exchange
    from service.http.app import Parts
    from service.http.messages import Api
    from service.settings import Settings

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

# Where a request's scope has the names of its caller's certificate.
CERTIFICATE: Final = "hearth.certificate"


class _ClientLeft(Exception):
    """The client went before its request was whole."""


class Front:
    """The ASGI application of one worker.

    Args:
        flask: Every route there is.
        parts: What the Flask application is made from, for the quick ones.
        settings: Limits.
        admission: Says how much may be in flight; one of its own by default.

    Attributes:
        health: Set ``draining`` there when the worker goes down.
        answering: Begins answers, in threads that are not Flask's: while all of those are at work,
            health and metrics still answer.
    """

    def __init__(
        self,
        flask: Flask,
        parts: Parts,
        settings: Settings,
        admission: Admission | None = None,
    ) -> None:
        if admission is None:
            most = settings.max_requests_in_flight, settings.max_bytes_in_flight
            admission = Admission(*most)
        self.health = parts.health
        # Without a limit to what is queued for a client: no thread waits until it reads.
        self._flask = WSGIMiddleware(
            flask.wsgi_app, workers=settings.rest_api_num_threads, send_queue_size=0
        )
        self._threads = ThreadPoolExecutor(settings.rest_api_num_threads, "rest")
        self._admission = admission
        self._apis = parts.apis
        self._exchanges = parts.exchanges
        self._guard = parts.guard
        self._max_body_bytes = settings.max_body_bytes
        self._body_timeout_s = settings.body_timeout_s
        self._request_timeout_s = settings.rest_api_timeout_in_ms / 1000
        self.answering = Answering(self._threads, admission, self._request_timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if self.health.draining:
            send = _closing(send)
        exchange = self._begin(scope)
        try:
            gate.enter(self._guard, exchange, _headers(scope), scope.get(CERTIFICATE, ()))
        except HearthError as error:
            await self._refuse(scope, send if _is_whole(scope) else _closing(send), error, exchange)
            return
        try:
            body = await self._read(scope, receive)
        except _ClientLeft:
            return
        except HearthError as error:
            await self._refuse(scope, _closing(send), error, exchange)
            return
        exchange.started_s = time.perf_counter()
        scope[EXCHANGE] = exchange
        request = _request(scope, body)
        api = find_api(self._apis, request.path)
        if api is not None:
            await self._answer(send, api, request, exchange)
        else:
            await self._in_thread(scope, send, body)

    async def _in_thread(self, scope: Scope, send: Send, body: bytes) -> None:
        """Let Flask answer, for so long as a request may take."""
        answering = _Answering(send)
        try:
            async with asyncio.timeout(self._request_timeout_s):
                await self._flask(_with_length(scope, body), _replay(body), answering)
        except TimeoutError:
            if answering.started:
                return  # its client is slow to read, and sees that it is not whole
            error = DeadlineExceeded(self._too_long())
            await self._refuse(scope, _closing(send), error, self._begin(scope))

    def finish(self) -> None:
        """Wait for Flask's threads; those of clients that have left are still at work.

        The event loop must run meanwhile: a thread hands its answer over to it.
        """
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._flask.executor.shutdown(wait=True, cancel_futures=True)

    async def _answer(self, send: Send, api: Api, request: Request, exchange: Exchange) -> None:
        light = api.is_light(request.method, request.path, request.headers)
        step = self.answering.start(api, request, exchange, light=light)
        if isinstance(step, Response):
            await self._send(send, exchange, step)
            return
        done = asyncio.Event()
        step.tell = done.set
        try:
            async with asyncio.timeout(self._request_timeout_s):
                await done.wait()
        except asyncio.CancelledError:
            step.give_up()
            exchange.left()
            self._exchanges.end(exchange, CLIENT_LEFT)
            raise
        except TimeoutError:
            step.give_up()
            failed = api.fail(DeadlineExceeded(self._too_long()), request, exchange)
            await self._send(_closing(send), exchange, failed)
            return
        await self._send(send, exchange, step.finish())

    def _too_long(self) -> str:
        return f"the request took longer than {self._request_timeout_s:g} s"

    async def _refuse(
        self, scope: Scope, send: Send, error: HearthError, exchange: Exchange
    ) -> None:
        request = _request(scope, b"")
        refused = gate.refuse(find_api(self._apis, request.path), error, request, exchange)
        await self._send(send, exchange, refused)

    def _begin(self, scope: Scope) -> Exchange:
        request_id = _header(scope, REQUEST_ID_HEADER.lower().encode())
        observe = _header(scope, OBSERVE.encode())
        client = scope.get("client")
        return self._exchanges.begin(
            scope["method"],
            _raw_path(scope),
            client[0] if client else "",
            request_id.decode("latin-1") if request_id is not None else None,
            _headers(scope) if self._exchanges.traces else {},
            observed=is_observed(None if observe is None else observe.decode("latin-1")),
        )

    async def _send(self, send: Send, exchange: Exchange, response: Response) -> None:
        headers = {
            "content-type": response.content_type,
            "content-length": str(len(response.body)),
            REQUEST_ID_HEADER: exchange.request_id,
            **dict(response.headers),
        }
        if exchange.trace is not None:
            headers[TRACE_HEADER] = exchange.trace.context
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        self._exchanges.end(exchange, response.status)
        await send({"type": "http.response.start", "status": response.status, "headers": encoded})
        body = b"" if exchange.method == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        announced = _header(scope, b"content-length")
        if announced is not None and int(announced) > self._max_body_bytes:
            raise self._too_large(f"{int(announced)} bytes")
        try:
            async with asyncio.timeout(self._body_timeout_s):
                return await self._collect(receive)
        except TimeoutError as error:
            raise RequestTimeout(
                f"the body did not arrive within {self._body_timeout_s:g} s"
            ) from error

    async def _collect(self, receive: Receive) -> bytes:
        body = bytearray()
        held = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _ClientLeft
                part = message.get("body", b"")
                self._admission.hold(len(part))
                held += len(part)
                body += part
                if len(body) > self._max_body_bytes:
                    raise self._too_large(f"more than {self._max_body_bytes} bytes")
                if not message.get("more_body", False):
                    return bytes(body)
        finally:
            self._admission.release(held)

    def _too_large(self, size: str) -> PayloadTooLarge:
        return PayloadTooLarge(f"the body has {size}, the limit is {self._max_body_bytes}")


class _Answering:
    """A send channel that knows whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        self.started = True
        await self._send(message)


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value)
    return None


def _is_whole(scope: Scope) -> bool:
    """Whether a request has no body: one that is not read would stand before the next request."""
    has_length = _header(scope, b"content-length") not in {None, b"0"}
    return not has_length and _header(scope, b"transfer-encoding") is None


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _request(scope: Scope, body: bytes) -> Request:
    return Request(
        method=scope["method"],
        path=_raw_path(scope),
        query=scope["query_string"].decode("latin-1"),
        headers=_headers(scope),
        body=body,
    )


def _raw_path(scope: Scope) -> str:
    raw = scope.get("raw_path") or scope["path"].encode()
    return str(raw.decode("latin-1"))


def _with_length(scope: Scope, body: bytes) -> Scope:
    """The scope of a request that has been read: WSGI takes no body without its length."""
    if _header(scope, b"content-length") is not None:
        return scope
    headers = [it for it in scope["headers"] if it[0] != b"transfer-encoding"]
    return {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}


def _replay(body: bytes) -> Receive:
    """A receive channel for a body that has been read already."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _closing(send: Send) -> Send:
    """A send channel whose answer tells the client that the connection ends."""

    async def send_closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            others = [it for it in message["headers"] if it[0] != b"connection"]
            message["headers"] = [*others, (b"connection", b"close")]
        await send(message)

    return send_closing
