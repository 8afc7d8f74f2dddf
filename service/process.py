"""One worker process, put together: models, metrics, application."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from service.exchange import Exchange, Exchanges
from service.health import Health
from service.http.app import Parts, create_app
from service.http.front import Front
from service.http.tensorflow_serving import TensorFlowServing as RestTensorFlowServing
from service.monitoring.access_log import AccessLog, parse_access_log
from service.monitoring.metrics import Metrics
from service.repository.loading import load_version
from service.repository.repository import ModelConfig, Repository, RetryPolicy
from service.rpc.calls import Calls
from service.rpc.server import RpcServer
from service.rpc.tensorflow_serving import TensorFlowServing

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from service.repository.version import ModelVersion
    from service.settings import Settings


_log: Final = logging.getLogger("hearth.process")


class Process:
    """The parts of one worker; calling it is calling its ASGI application.

    Args:
        settings: The knobs.

    Attributes:
        settings: The knobs.
        health: Readiness, to be turned when the worker goes down.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._metrics = Metrics()
        self._repository = _repository(settings, self._metrics)
        self.health = Health(self._repository)
        access_log = AccessLog(
            parse_access_log(settings.access_log), settings.slow_request_ms / 1000
        )
        exchanges = Exchanges(_Recorder(self._metrics, access_log))
        parts = Parts(
            repository=self._repository,
            apis=(RestTensorFlowServing(self._repository),),
            health=self.health,
            exchanges=exchanges,
            exposition=self._metrics.exposition,
        )
        self._rpc = _rpc_server(settings, self._repository, exchanges, self.health)
        self._front = Front(create_app(parts), parts, settings)
        self._watcher = _Watcher(self._repository, settings.file_system_poll_wait_seconds)

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """Answer one request."""
        return self._front(scope, receive, send)

    def start(self) -> None:
        """Load what there is, then keep watching; returns when the first look is over."""
        self._metrics.worker_started()
        self._repository.poll()
        self._watcher.start()
        if self._rpc is not None:
            self._rpc.start()

    def drain(self, grace_s: float) -> None:
        """Take no more calls over gRPC, and give those under way so many seconds."""
        if self._rpc is not None:
            self._rpc.stop(grace_s)

    def stop(self) -> None:
        """Watch no more."""
        self._watcher.stop()


class _Recorder:
    """Tells metrics and access log of finished exchanges."""

    def __init__(self, metrics: Metrics, access_log: AccessLog) -> None:
        self._metrics = metrics
        self._access_log = access_log

    def finished(self, exchange: Exchange, status: int | str, seconds: float) -> None:
        self._metrics.answered(exchange, seconds)
        self._access_log.write(exchange, status, seconds)


class _Watcher:
    """Polls the repository in a thread of its own."""

    def __init__(self, repository: Repository, interval_s: float) -> None:
        self._repository = repository
        self._interval_s = interval_s
        self._stopped = threading.Event()

    def start(self) -> None:
        if self._interval_s > 0:
            threading.Thread(target=self._watch, name="repository", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                self._repository.poll()
            except Exception:  # noqa: BLE001 - without this thread no new version is ever found
                _log.exception("the models' folders could not be looked at")


def _rpc_server(
    settings: Settings, repository: Repository, exchanges: Exchanges, health: Health
) -> RpcServer | None:
    addresses = [f"unix:{settings.grpc_socket_path}"] if settings.grpc_socket_path else []
    if settings.port:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        addresses.append(f"{host}:{settings.port}")
    if not addresses:
        return None
    services = TensorFlowServing(
        repository,
        settings.max_body_bytes,
        as_content=settings.enable_serialization_as_tensor_content,
    ).services()
    threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="rpc")
    limits = [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
    ]
    return RpcServer(addresses, services, Calls(exchanges, threads), health, limits)


def _repository(settings: Settings, metrics: Metrics) -> Repository:
    def load(model: str, number: int, path: Path) -> ModelVersion:
        return load_version(model, number, path, settings.executor)

    return Repository(
        [ModelConfig(settings.model_name, settings.model_base_path)],
        load,
        metrics,
        RetryPolicy(settings.max_num_load_retries, settings.load_retry_interval_micros / 1_000_000),
    )
