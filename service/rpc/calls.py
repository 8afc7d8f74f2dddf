"""One call and its answer: recorded, run in the right place, errors turned into codes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from concurrent.futures import Executor

    from service.errors import HearthError
    from service.exchange import Exchange, Exchanges

    Handler = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]

_REQUEST_ID: Final = "x-request-id"


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
    """

    def __init__(self, exchanges: Exchanges, threads: Executor) -> None:
        self._exchanges = exchanges
        self._threads = threads

    def handler(self, service: Service) -> grpc.GenericRpcHandler:
        """The handler of a whole service."""
        return grpc.method_handlers_generic_handler(
            service.name,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    self._unary(service, name, method),
                    request_deserializer=method.request.FromString,
                    response_serializer=_serialise,
                )
                for name, method in service.methods.items()
            },
        )

    def _unary(self, service: Service, name: str, method: Method) -> Handler:
        path = f"/{service.name}/{name}"

        async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
            exchange = self._exchanges.begin("gRPC", path, context.peer(), _request_id(context))
            exchange.protocol, exchange.route = service.protocol, method.route
            context.set_trailing_metadata(((_REQUEST_ID, exchange.request_id),))
            try:
                response = await self._run(method, request, exchange)
            except Exception as error:  # noqa: BLE001 - the one boundary: every error gets its code
                code, message = service.encode_error(exchange.failed(error))
                self._exchanges.end(exchange, code.name)
                context.set_code(code)
                context.set_details(message)
                return None
            self._exchanges.end(exchange, grpc.StatusCode.OK.name)
            return response

        return answer

    async def _run(self, method: Method, request: Any, exchange: Exchange) -> Any:
        if method.is_quick(request):
            return method.answer(request, exchange)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, method.answer, request, exchange)


def _request_id(context: grpc.aio.ServicerContext) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == _REQUEST_ID and isinstance(value, str):
            return value
    return None


def _serialise(response: Any) -> bytes:
    # Of a call that failed, only code and message are sent.
    serialised: bytes = b"" if response is None else response.SerializeToString()
    return serialised
