"""The gRPC server of one worker: a thread with an event loop of its own.

Every worker listens on the same port; the kernel shares the connections out among them
(SO_REUSEPORT). A Unix socket has one listener: the worker that began last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from service.rpc.reflection import GuardedReflection
from service.unix_socket import beside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.config_files import Tls
    from service.health import Health
    from service.rpc.calls import Calls, Service
    from service.security.certificates import Certificates

_HEALTH_POLL_S: Final = 0.25
_DRAIN_POLL_S: Final = 0.05
_QUIET_POLLS: Final = 4  # looks in a row at which no call is under way
_START_LIMIT_S: Final = 30.0
_UNIX: Final = "unix:"
_log: Final = logging.getLogger("hearth.rpc")


class RpcServer:
    """Carries services over gRPC.

    Args:
        addresses: What to listen on: ``host:port`` or ``unix:path``.
        services: What to carry, beside health and reflection.
        calls: Makes handlers out of services.
        health: What the health service tells.
        options: Channel arguments.
        tls: Key and certificates; None for plain text.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        services: Sequence[Service],
        calls: Calls,
        health: Health,
        options: Sequence[tuple[str, Any]] = (),
        tls: Certificates | None = None,
    ) -> None:
        self._addresses = addresses
        self._services = services
        self._calls = calls
        self._health = health
        self._options = [("grpc.so_reuseport", 1), *options]
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: grpc.aio.Server | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> int:
        """How many calls are being answered."""
        return self._calls.under_way

    def start(self) -> None:
        """Listen.

        Raises:
            RuntimeError: An address cannot be listened on.
        """
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="grpc", daemon=True)
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        started.result(_START_LIMIT_S)

    def stop(self, grace_s: float) -> None:
        """Take no more calls, and give those under way so many seconds.

        It is safe to call in any thread but the server's own; it returns when all is over.
        """
        if self._loop is None or self._thread is None or self._loop.is_closed():
            return
        stopped = asyncio.run_coroutine_threadsafe(self._stop(grace_s), self._loop)
        with contextlib.suppress(TimeoutError):
            stopped.result(grace_s + 1)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def handlers(self) -> dict[str, dict[str, grpc.RpcMethodHandler]]:
        """The handlers of all methods, by service and method."""
        return {it.name: self._calls.handlers(it) for it in self._services}

    async def _start(self) -> None:
        server = grpc.aio.server(options=self._options)
        for name, handlers in self.handlers().items():
            # Registered: found by its path at once, and before the generic ones are asked.
            server.add_registered_method_handlers(name, handlers)
        health = grpc_health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        names = [service.name for service in self._services]
        reflected = [*names, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            GuardedReflection(reflected, self._calls.guard), server
        )
        for address in self._addresses:
            self._bind(server, f"{_UNIX}{beside(path)}" if (path := _path_of(address)) else address)
        await server.start()
        for path in filter(None, map(_path_of, self._addresses)):
            # gRPC removes what it has made when it stops, and that is its successor's by then.
            beside(path).replace(path)
        self._server = server
        self._watch = asyncio.create_task(self._tell_health(health, names))

    def _bind(self, server: grpc.aio.Server, address: str) -> None:
        if self._tls is None:
            server.add_insecure_port(address)
            return
        server.add_secure_port(address, _credentials(self._tls))

    async def _stop(self, grace_s: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._server is None:
            return
        stopping = asyncio.create_task(self._server.stop(grace_s))
        quiet = 0
        while quiet < _QUIET_POLLS and not stopping.done():
            await asyncio.sleep(_DRAIN_POLL_S)
            quiet = 0 if self._calls.under_way else quiet + 1
        # What is left are streams that never end by themselves, such as health's Watch.
        await self._server.stop(_DRAIN_POLL_S)
        await stopping

    async def _tell_health(self, servicer: Any, names: Sequence[str]) -> None:
        """Keep the health service's answers true; under full and bare names, and for all."""
        asked = ["", *names, *(name.rpartition(".")[2] for name in names)]
        told = None
        while True:
            ready = not self._health.problem()
            if ready != told:
                status = health_pb2.HealthCheckResponse.ServingStatus
                for name in asked:
                    await servicer.set(name, status.SERVING if ready else status.NOT_SERVING)
                told = ready
            await asyncio.sleep(_HEALTH_POLL_S)


def _path_of(address: str) -> Path | None:
    """Of a Unix socket, where it is."""
    return Path(address.removeprefix(_UNIX)) if address.startswith(_UNIX) else None


def _credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Credentials that every new connection takes anew, if the files have changed."""
    told = certificates.tls

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal told
        if certificates.tls is told:
            return None
        told = certificates.tls
        return _configuration(told)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(told), changed, require_client_authentication=told.verify_client
    )


def _configuration(tls: Tls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(tls.key, tls.certificate)], root_certificates=tls.authority or None
    )
