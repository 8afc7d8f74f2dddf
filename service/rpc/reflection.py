"""gRPC's reflection, for those who may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grpc_reflection.v1alpha import reflection

from service.errors import HearthError
from service.exchange import Exchange
from service.protocols.tensorflow_serving_grpc import encode_error
from service.rpc.calls import enter
from service.security.scopes import RPC

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import grpc

    from service.security.guard import Guard

_PATH: Final = f"/{reflection.SERVICE_NAME}/ServerReflectionInfo"


class GuardedReflection(reflection.aio.ReflectionServicer):  # type: ignore[misc]  # it has no types
    """Tells of services, messages and fields.

    Args:
        names: The services.
        guard: Says who may know.
    """

    def __init__(self, names: Sequence[str], guard: Guard) -> None:
        super().__init__(names)
        self._guard = guard

    async def ServerReflectionInfo(  # noqa: N802 - gRPC's name
        self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Any]:
        """Answer the questions of one call."""
        needed = None if self._guard.is_open else self._guard.needed(RPC, _PATH)
        if needed is not None:
            try:
                enter(self._guard, needed, context, Exchange("", RPC, _PATH, context.peer(), 0.0))
            except HearthError as error:
                await context.abort(*encode_error(error))
        async for answer in super().ServerReflectionInfo(requests, context):
            yield answer
