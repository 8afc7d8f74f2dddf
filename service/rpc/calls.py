"""One call and its answer: recorded, run in the right place, errors turned into codes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError

from service.arrivals import Arrivals
from service.errors import DeadlineExceeded, InvalidRequest, Overloaded
from service.exchange import OBSERVE, is_observed
from service.security.certificates import names_of_call
from service.security.guard import Asked, Guard, shown_by
from service.security.scopes import RPC, Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from concurrent.futures import Executor, Future

    from service.admission import Admission
    from service.errors import HearthError
    from service.exchange import Exchange, Exchanges
    from service.protocols.inference import Inference

    Handler = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]

_REQUEST_ID: Final = "x-request-id"
_TRACE: Final = "traceresponse"
_OK: Final = grpc.StatusCode.OK.name

# Bytes of a request, or of outputs, up to which the event loop may read or write them.
_QUICK_BYTES: Final = 16 * 1024
# Rows up to which it may have a quick version compute: a few bytes can ask for a million.
_QUICK_ROWS: Final = 1024


@dataclass(frozen=True)
class Method:
    """One method of a service.

    Attributes:
        route: What it asks for, from a closed set, for the metrics.
        request: Class of its request message.
        answer: From a request to its response message; runs in a thread.
        prepare: Instead of ``answer``, of a method that asks for inference: reads and checks.
        shortcut: Answers a message on the loop, in microseconds; None for one that is unusual
            or may be refused.
        learn: Told of each small message that was prepared, and what came of it.
    """

    route: str
    request: Any
    answer: Callable[[Any, Exchange], Any] | None = None
    prepare: Callable[[Any, Exchange], Inference[Any]] | None = None
    shortcut: Callable[[bytes, Exchange], bytes | None] | None = None
    learn: Callable[[bytes, Any], None] | None = None


@dataclass(frozen=True)
class Service:
    """One gRPC service.

    Attributes:
        name: Its full name, such as ``tensorflow.serving.PredictionService``.
        protocol: Whose wire form it speaks, for the metrics.
        methods: Its methods by name.
        encode_error: From an error to its code and message.
    """

    name: str
    protocol: str
    methods: Mapping[str, Method]
    encode_error: Callable[[HearthError], tuple[grpc.StatusCode, str]]


class Calls:
    """Makes gRPC handlers out of services.

    Args:
        exchanges: Begins and ends requests for log and metrics.
        threads: Where calls run that the event loop may not wait for.
        guard: Says who may call what.
        admission: Says how much may be in flight; None for any amount.

    Attributes:
        guard: Says who may call what.
        under_way: How many are being answered.
    """

    def __init__(
        self,
        exchanges: Exchanges,
        threads: Executor,
        guard: Guard | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.guard = Guard() if guard is None else guard
        self._exchanges = exchanges
        self._threads = threads
        self._admission = admission
        self._arrivals = Arrivals()
        self.under_way = 0

    def handlers(self, service: Service) -> dict[str, grpc.RpcMethodHandler]:
        """The handlers of a service, by the names of its methods."""
        # Bytes in and out: a message that cannot be read is answered like any other error,
        # and a large one is read and written in a thread.
        return {
            name: grpc.unary_unary_rpc_method_handler(self._unary(service, name, method))
            for name, method in service.methods.items()
        }

    def _unary(self, service: Service, name: str, method: Method) -> Handler:
        path = f"/{service.name}/{name}"
        exchanges, shortcut, guard = self._exchanges, method.shortcut, self.guard
        needed = None if guard.is_open else guard.needed(RPC, path)

        async def answer(message: bytes, context: grpc.aio.ServicerContext) -> bytes:
            carrier = _carrier(context) if exchanges.traces else {}
            request_id, observed = _told(context)
            client = address_of(context.peer())
            exchange = exchanges.begin("gRPC", path, client, request_id, carrier, observed=observed)
            exchange.protocol, exchange.route = service.protocol, method.route
            context.set_trailing_metadata(_trailing(exchange))
            self.under_way += 1
            try:
                if needed is not None:
                    enter(guard, needed, context, exchange)
                response = None if shortcut is None else shortcut(message, exchange)
                if response is None:
                    response = await self._respond(method, message, exchange, context)
            except asyncio.CancelledError:
                exchanges.end(exchange, _given_up(exchange, context).name)
                raise
            except Exception as error:  # noqa: BLE001 - the one boundary: every error gets its code
                code, text = service.encode_error(exchange.failed(error))
                exchanges.end(exchange, code.name)
                context.set_code(code)
                context.set_details(text)
                return b""  # of a call that failed, only code and message are sent
            finally:
                self.under_way -= 1
            exchanges.end(exchange, _OK)
            return response

        return answer

    async def _respond(
        self,
        method: Method,
        message: bytes,
        exchange: Exchange,
        context: grpc.aio.ServicerContext,
    ) -> bytes:
        """The response; made at once where that is quick, else where nobody waits for it."""
        prepare = method.prepare
        if prepare is None or len(message) > _QUICK_BYTES:
            _note_deadline(exchange, context)
            return await self._admitted(
                self._read_elsewhere(method, message, exchange), message, exchange
            )
        inference = prepare(_read(method, message), exchange)
        if method.learn is not None:
            method.learn(message, inference)
        executor = inference.version.executor
        if executor.quick and exchange.rows <= _QUICK_ROWS:
            return _written(inference.run())
        if executor.joins:
            _note_deadline(exchange, context)
            return await self._admitted(self._join(inference), message, exchange)
        running = self._in_thread(lambda: _written(inference.run()))
        return await self._admitted(running, message, exchange)

    async def _admitted(
        self, response: Coroutine[Any, Any, bytes], message: bytes, exchange: Exchange
    ) -> bytes:
        """A response that is made elsewhere, if there is room for it."""
        if self._admission is None:
            return await response
        try:
            place = self._admission.take(exchange, len(message))
        except Overloaded:
            response.close()
            raise
        try:
            return await response
        finally:
            self._admission.give(place)

    async def _read_elsewhere(self, method: Method, message: bytes, exchange: Exchange) -> bytes:
        made = await self._in_thread(lambda: _answered(method, message, exchange))
        return made if isinstance(made, bytes) else await self._join(made)

    async def _join(self, inference: Inference[Any]) -> bytes:
        """The response of a version that joins: no thread waits for it."""
        outputs = inference.submit()
        await self._arrivals.wait(outputs)
        if _is_large(outputs):
            return await self._in_thread(lambda: _written(inference.finish(outputs)))  # type: ignore[no-any-return]
        return _written(inference.finish(outputs))

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


@lru_cache(maxsize=1024)
def address_of(peer: str) -> str:
    """A caller's address, as REST has it.

    Args:
        peer: As gRPC has it: ``ipv4:10.0.0.7:50051``, ``ipv6:%5B::1%5D:50051`` or ``unix:``.
    """
    kind, _, place = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return kind
    return unquote(place.rpartition(":")[0]).strip("[]")


def enter(
    guard: Guard, needed: Scope, context: grpc.aio.ServicerContext, exchange: Exchange
) -> None:
    """Let a call in.

    Args:
        guard: Who decides.
        needed: What the call needs.
        context: The call.
        exchange: What is noted of it; the caller's name is.

    Raises:
        HearthError: It may not come in.
    """
    exchange.audited = needed is Scope.ADMIN
    headers = {key: it for key, it in context.invocation_metadata() or () if isinstance(it, str)}
    client = exchange.client if guard.limits_addresses else ""
    certificate = names_of_call(context.auth_context())
    exchange.caller = guard.admit(Asked(shown_by(headers), certificate, needed, client))


def _answered(method: Method, message: bytes, exchange: Exchange) -> bytes | Inference[Any]:
    """The response; of a version that joins what is to be submitted."""
    exchange.taken()
    request = _read(method, message)
    if method.prepare is None:
        return _written(method.answer(request, exchange))  # type: ignore[misc]
    inference = method.prepare(request, exchange)
    return inference if inference.version.executor.joins else _written(inference.run())


def _is_large(outputs: Future[Any]) -> bool:
    if outputs.exception() is not None:
        return False
    size: int = sum(it.nbytes for it in outputs.result().values())
    return size > _QUICK_BYTES


def _read(method: Method, message: bytes) -> Any:
    try:
        return method.request.FromString(message)
    except DecodeError as error:
        name = method.request.DESCRIPTOR.full_name
        raise InvalidRequest(f"the message of {len(message)} bytes is no {name}") from error


def _written(response: Any) -> bytes:
    serialised: bytes = response.SerializeToString()
    return serialised


def _note_deadline(exchange: Exchange, context: grpc.aio.ServicerContext) -> None:
    left_s = context.time_remaining()
    if left_s is not None:
        exchange.deadline_s = time.perf_counter() + left_s


def _given_up(exchange: Exchange, context: grpc.aio.ServicerContext) -> grpc.StatusCode:
    """Note why nobody waits for the answer any more: the deadline, or the caller left."""
    if context.time_remaining() == 0:
        exchange.failed(DeadlineExceeded("the caller's deadline passed before the answer"))
        return grpc.StatusCode.DEADLINE_EXCEEDED
    exchange.left()
    return grpc.StatusCode.CANCELLED


def _carrier(context: grpc.aio.ServicerContext) -> dict[str, str]:
    """What the caller sent beside the message, but for bytes."""
    return {key: it for key, it in context.invocation_metadata() or () if isinstance(it, str)}


def _trailing(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    own = ((_REQUEST_ID, exchange.request_id),)
    return own if exchange.trace is None else (*own, (_TRACE, exchange.trace.context))


def _told(context: grpc.aio.ServicerContext) -> tuple[str | None, bool]:
    """The request id that the caller sent, and whether the call is a real case."""
    request_id, observed = None, True
    for key, value in context.invocation_metadata() or ():
        if key == _REQUEST_ID and isinstance(value, str):
            request_id = value
        elif key == OBSERVE and isinstance(value, str):
            observed = is_observed(value)
    return request_id, observed
