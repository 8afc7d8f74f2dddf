"""One call and its answer: recorded, run in the right place, errors turned into codes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError

from service.errors import DeadlineExceeded, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from concurrent.futures import Executor

    from service.errors import HearthError
    from service.exchange import Exchange, Exchanges

    Handler = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]

_REQUEST_ID: Final = "x-request-id"

# Bytes of a request up to which the event loop may read it.
_QUICK_BYTES: Final = 16 * 1024


@dataclass(frozen=True)
class Method:
    """One method of a service.

    Attributes:
        route: What it asks for, from a closed set, for the metrics.
        request: Class of its request message.
        answer: From a request to its response message.
        is_quick: Whether a request costs so little that the event loop may answer it.
    """

    route: str
    request: Any
    answer: Callable[[Any, Exchange], Any]
    is_quick: Callable[[Any], bool]


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

    Attributes:
        under_way: How many are being answered.
    """

    def __init__(self, exchanges: Exchanges, threads: Executor) -> None:
        self._exchanges = exchanges
        self._threads = threads
        self.under_way = 0

    def handler(self, service: Service) -> grpc.GenericRpcHandler:
        """The handler of a whole service."""
        # Bytes in and out: a message that cannot be read is answered like any other error,
        # and a large one is read and written in a thread.
        return grpc.method_handlers_generic_handler(
            service.name,
            {
                name: grpc.unary_unary_rpc_method_handler(self._unary(service, name, method))
                for name, method in service.methods.items()
            },
        )

    def _unary(self, service: Service, name: str, method: Method) -> Handler:
        path = f"/{service.name}/{name}"

        async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            exchange = self._exchanges.begin("gRPC", path, context.peer(), _request_id(context))
            exchange.protocol, exchange.route = service.protocol, method.route
            context.set_trailing_metadata(((_REQUEST_ID, exchange.request_id),))
            self.under_way += 1
            try:
                return await self._answer(service, method, request, context, exchange)
            finally:
                self.under_way -= 1

        return answer

    async def _answer(
        self,
        service: Service,
        method: Method,
        request: bytes,
        context: grpc.aio.ServicerContext,
        exchange: Exchange,
    ) -> bytes:
        try:
            response = await self._run(method, request, exchange)
        except asyncio.CancelledError:
            self._exchanges.end(exchange, _given_up(exchange, context).name)
            raise
        except Exception as error:  # noqa: BLE001 - the one boundary: every error gets its code
            code, message = service.encode_error(exchange.failed(error))
            self._exchanges.end(exchange, code.name)
            context.set_code(code)
            context.set_details(message)
            return b""  # of a call that failed, only code and message are sent
        self._exchanges.end(exchange, grpc.StatusCode.OK.name)
        return response

    async def _run(self, method: Method, message: bytes, exchange: Exchange) -> bytes:
        if len(message) <= _QUICK_BYTES:
            request = _read(method, message)
            if method.is_quick(request):
                return _written(method.answer(request, exchange))

        def respond() -> bytes:
            return _written(method.answer(_read(method, message), exchange))

        return await asyncio.get_running_loop().run_in_executor(self._threads, respond)


def _read(method: Method, message: bytes) -> Any:
    try:
        return method.request.FromString(message)
    except DecodeError as error:
        name = method.request.DESCRIPTOR.full_name
        raise InvalidRequest(f"the message of {len(message)} bytes is no {name}") from error


def _written(response: Any) -> bytes:
    serialised: bytes = response.SerializeToString()
    return serialised


def _given_up(exchange: Exchange, context: grpc.aio.ServicerContext) -> grpc.StatusCode:
    """Note why nobody waits for the answer any more: the deadline, or the caller left."""
    if context.time_remaining() == 0:
        exchange.failed(DeadlineExceeded("the caller's deadline passed before the answer"))
        return grpc.StatusCode.DEADLINE_EXCEEDED
    exchange.outcome, exchange.error = "Cancelled", "the caller left before the answer"
    return grpc.StatusCode.CANCELLED


def _request_id(context: grpc.aio.ServicerContext) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == _REQUEST_ID and isinstance(value, str):
            return value
    return None
