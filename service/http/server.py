"""gunicorn, configured: the master process, which binds the port and keeps workers up."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from service.crashes import Crashes
from service.http.master import Master
from service.monitoring import metrics
from service.process import Process
from service.unix_socket import beside

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.repository.agreement import Agreement
    from service.settings import Settings


class PortError(OSError):
    """The port cannot be listened on."""


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's application for these settings.

    Args:
        settings: The knobs.
        agreement: What the workers agree on.
        read_again: Gives the settings as they are to be from now on, at a reload.
        announce: Called once in the master when REST's port, if there is one, is bound.
    """

    def __init__(
        self,
        settings: Settings,
        agreement: Agreement,
        read_again: Callable[[], Settings],
        announce: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._agreement = agreement
        self._read_again = read_again
        self._announce = announce
        self._crashes = Crashes()
        super().__init__()

    def load_config(self) -> None:
        """Hand gunicorn its settings."""
        for name, value in self._options().items():
            self.cfg.set(name, value)

    def reload(self) -> None:
        """Take the settings as they are now.

        Raises:
            SettingsError: They make no sense, or need a restart.
            InvalidRequest: They name files that cannot be used.
        """
        self._settings = self._read_again()
        super().reload()

    def load(self) -> Process:
        """Put a worker together; called in the worker, after the fork."""
        return Process(self._settings, self._agreement, self._crashes)

    def run(self) -> None:
        """Serve until told to stop; ends by ``SystemExit``."""
        Master(self, self._crashes).run()

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "bind": _addresses(settings),
            "workers": settings.workers,
            "worker_class": "service.http.worker.Worker",
            "keepalive": settings.keepalive_s,
            # Seconds without a heartbeat after which the master ends a worker, and without
            # a byte after which gunicorn gives up on a body.
            "timeout": max(60, int(settings.body_timeout_s) + 1),
            "graceful_timeout": settings.graceful_timeout_s + int(settings.shutdown_delay_s) + 1,
            "loglevel": "warning",
            "proc_name": "hearth",
            "asgi_loop": "uvloop",
            # gunicorn would open a socket in the user's home.
            "control_socket_disable": True,
            "when_ready": lambda _: self._ready(),
            "pre_fork": lambda _arbiter, _worker: _freeze(),
            "child_exit": lambda _, worker: self._forget(worker.pid),
            "on_exit": lambda _: self._remove_socket(),
        }

    def _ready(self) -> None:
        _make_interrupt_graceful()
        self._announce()

    def _remove_socket(self) -> None:
        if self._settings.grpc_socket_path:
            Path(self._settings.grpc_socket_path).unlink(missing_ok=True)

    def _forget(self, pid: int) -> None:
        metrics.forget_worker(pid)
        self._agreement.forget_worker(pid)


def _freeze() -> None:
    """Keep the collector from what exists: a round writes to it, and so copies shared pages."""
    gc.collect()
    gc.freeze()


def _make_interrupt_graceful() -> None:
    """Let the first Ctrl-C end the service as SIGTERM does; the second ends it at once."""
    at_once = signal.getsignal(signal.SIGINT)

    def interrupted(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, at_once)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGINT, interrupted)


def check_addresses(settings: Settings) -> None:
    """Make sure that the service can listen where it should.

    Raises:
        PortError: It cannot; the message says where and why.
    """
    if settings.rest_api_port:
        check_port("--rest_api_port", settings.host, settings.rest_api_port)
    if settings.port:
        check_port("--port", settings.host, settings.port)
    if settings.grpc_socket_path:
        check_socket("--grpc_socket_path", Path(settings.grpc_socket_path))


def check_port(flag: str, host: str, port: int) -> None:
    """Make sure that the port can be bound, before gunicorn tries again and again.

    Raises:
        PortError: It cannot; the message says why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reasons = {errno.EADDRINUSE: "is in use", errno.EACCES: "needs more rights"}
            reason = reasons.get(error.errno or 0, f"cannot be used: {error.strerror}")
            raise PortError(f"{flag}: {host}:{port} {reason}") from error


def check_socket(flag: str, path: Path) -> None:
    """Make sure that a Unix socket can be made at a path; one that is left there is removed.

    Raises:
        PortError: It cannot, or somebody listens there; the message says why.
    """
    made = beside(path)
    try:
        _make_way(path)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(made))
        made.unlink()
    except OSError as error:
        raise PortError(f"{flag}: {path} cannot be used: {error.strerror or error}") from error


def _make_way(path: Path) -> None:
    """Remove a Unix socket that nobody listens on any more."""
    if not path.exists():
        return
    if not path.is_socket():
        raise FileExistsError(errno.EEXIST, "it is there, and no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.0)
        if probe.connect_ex(str(path)) in {0, errno.EAGAIN}:  # or too many wait already
            raise OSError(errno.EADDRINUSE, "somebody listens there")
    path.unlink()


def _addresses(settings: Settings) -> list[str]:
    """Where REST is to be had: nowhere, if only gRPC is served."""
    if not settings.rest_api_port:
        return []
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return [f"{host}:{settings.rest_api_port}"]
