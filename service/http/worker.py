"""The gunicorn worker: gunicorn's own ASGI protocol, with time limits and an orderly end.

Beyond gunicorn's ``asgi`` worker it takes no connection before the models have been
looked at once, gives up on clients that do not finish a request's head, and on SIGTERM
first turns readiness to 503, then takes no more, answers what it has, and closes idle
connections at once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from gunicorn.arbiter import Arbiter
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers.gasgi import ASGIWorker

from service.http.fast_lane import FastLane
from service.http.front import CERTIFICATE
from service.http.listener import Listener
from service.http.messages import JSON
from service.http.stage import Stage
from service.protocols import json_body
from service.security.certificates import names_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from service.http.fast_lane import Lane
    from service.process import Process

_HEARTBEAT_S: Final = 1.0
_DRAIN_POLL_S: Final = 0.02
# Share of the connections there may be from which idle ones are not kept long.
_CROWDED: Final = 0.9
# Open files of a worker that are no connections of HTTP.
_OTHER_FILES: Final = 256
# Seconds after which a thread that computes lets the event loop have the interpreter.
_SWITCH_S: Final = 0.0005
# Objects made and not freed between rounds of the garbage collector over the youngest, and
# such rounds between those over the older.
_COLLECTOR: Final = (10_000, 20, 20)
# Seconds between hand-overs of a worker's counts: so old may they be in another's scrape.
_METRICS_S: Final = 0.25
# Signals that Ctrl-C, a terminal that closes, or pkill send to every process.
_THE_MASTERS: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


class Connection(ASGIProtocol):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's protocol with a time limit for a request's head."""

    _task: asyncio.Task[None] | None  # gunicorn's: answers what is not for the lane

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker)
        self._connections = worker.connections
        self._health = worker.process.health
        self._head_timeout_s = worker.process.settings.header_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._lane: FastLane | None = None
        self._in_lane = False
        # gunicorn holds part of a request: only it knows where the next begins.
        self._holds_part = False
        self._asked = False
        self._active = False
        self._refused = False
        self._idle_since_s = 0.0
        self._certificate: tuple[str, ...] = ()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being received or answered."""
        asked = self.req_count > 1 or self._asked
        lane_idle = self._lane is None or self._lane.is_idle
        return asked and lane_idle and self._awaiting_request and not self._has_begun

    @property
    def _has_begun(self) -> bool:
        """Whether gunicorn holds part of a request, or one that it has not looked at."""
        return self._holds_part or self._request_ready.is_set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the first head is due."""
        self._connections.add(self)
        super().connection_made(transport)
        if len(self._connections) > self.worker.most_connections:
            self._refuse()
            return
        if self._request_ready is not None:  # else it speaks HTTP/2
            peer = transport.get_extra_info("peername")
            client = peer[0] if isinstance(peer, tuple) else ""
            self._certificate = names_of(transport.get_extra_info("peercert"))
            self._lane = FastLane(
                self.worker.lane, self.transport, client, self._hand_over, self._certificate
            )
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes: what is for the fast lane is answered there, the rest is gunicorn's."""
        if self._refused:
            return
        self._active = True
        if self._in_lane or self._enter_lane():
            data = self._lane.receive(data)  # type: ignore[union-attr]  # it is in it
            if data:
                self._hand_over(data)
            return
        super().data_received(data)

    def pause_writing(self) -> None:
        """The client does not read: gunicorn knows how to wait for it."""
        super().pause_writing()
        self.leave_lane()

    def leave_lane(self) -> None:
        """Give further requests to gunicorn; the lane finishes what it has."""
        if self._lane is not None and self._lane.is_idle:
            self._in_lane = False

    def close_if_idle(self, now_s: float, limit_s: float) -> None:
        """End the connection if the lane has had no request for so long; gunicorn ends its own."""
        if self._active:
            self._active, self._idle_since_s = False, now_s
        elif self._in_lane and now_s - self._idle_since_s > limit_s:
            self.close_idle()

    def rests(self, now_s: float, limit_s: float) -> bool:
        """Whether no request has come for so long, to the next heartbeat."""
        return not self._active and now_s - self._idle_since_s > limit_s

    def _refuse(self) -> None:
        """There is no room for it; its caller may come again."""
        self._refused = True
        most = self.worker.most_connections
        message = f"{most} connections are open, which is the limit"
        self._send_error_response(503, message, [("Retry-After", "1")])
        self.transport.close()

    def _enter_lane(self) -> bool:
        """Take to the lane, if gunicorn holds no byte of a request and owes no answer."""
        between = self._awaiting_request or self.req_count == 0
        if (
            self._lane is None
            or not between
            or self._has_begun
            or self._flow_control.write_paused
            or self._health.draining
        ):
            return False
        self._head_arrived()
        self._cancel_keepalive_timer()
        self._in_lane = self._asked = True
        return True

    def _hand_over(self, data: bytes) -> None:
        self._in_lane = False
        self.worker.lane.outbox.flush()
        super().data_received(data)

    def _feed_callback_parser(self, data: bytes) -> bool:
        """Parse bytes, those too that came behind a request while it was answered.

        If they begin a head, the rest of it is due.
        """
        goes_on = bool(super()._feed_callback_parser(data))
        self._holds_part = not self._request_ready.is_set()
        if goes_on and self._holds_part:
            self._expect_head()
            super()._resume_reading()
        return goes_on

    def _resume_reading(self) -> None:
        """Read on, unless much has come behind the request that was answered.

        gunicorn would read a further piece for each answer, and copies all that it holds.
        """
        held = getattr(self._callback_parser, "_buffer", b"")
        if len(held) <= self._max_buffer_size // 2:
            super()._resume_reading()

    def _handle_h1c_exception(self, error: Exception) -> bool:
        """Answer what the parser stumbles over; so it does over a length of 5,000 digits."""
        if super()._handle_h1c_exception(error):
            return True
        if not isinstance(error, ValueError):
            return False
        self._send_error_response(400, "Invalid number")
        self._close_transport()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._connections.discard(self)
        self._head_arrived()
        if self._lane is not None:
            self._lane.close()
        if self._awaiting_request and self._task is not None:
            # It would wait for seconds more, with all that a connection holds.
            self._task.cancel()
            self._task = None
        super().connection_lost(exc)

    def close_idle(self) -> None:
        """End the connection if nothing is under way on it."""
        if self.is_idle and self.transport is not None:
            self.worker.lane.outbox.flush()
            if self.transport.is_closing() and not self.transport.get_write_buffer_size():
                self.transport.abort()  # few clients of TLS take leave too
                return
            self.transport.close()

    def _send_error_response(
        self, status: int, message: str, extra_headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Answer what is no HTTP, or over gunicorn's limits, in the form of all errors."""
        body = json_body.encode({"error": message})
        head = {
            "Content-Type": JSON,
            "Content-Length": str(len(body)),
            **dict(extra_headers),
            "Connection": "close",
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        self._safe_write(f"{start}{lines}\r\n".encode("latin-1") + body)

    def _build_http_scope(self, *args: Any, **kwargs: Any) -> Any:
        """Tell the front whose certificate the connection has shown."""
        return {**super()._build_http_scope(*args, **kwargs), CERTIFICATE: self._certificate}

    def _on_headers_complete(self) -> Any:
        self._head_arrived()
        return super()._on_headers_complete()

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.worker.loop.call_later(self._head_timeout_s, self._give_up)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.transport is not None:
            self.transport.close()


def _spare_the_collector() -> None:
    """Keep what is there for good out of the garbage collector's rounds, and make those rarer.

    With TensorFlow loaded its rounds cost more than the requests: their objects live as long
    as they wait, and each round walks over all that lives.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR)


def _room(wanted: int) -> int:
    """How many connections there may be: as many as are wanted, or the files allow."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(most - _OTHER_FILES, most // 2))


class Worker(ASGIWorker):  # type: ignore[misc]  # gunicorn has no types
    """One worker process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections: set[Connection] = set()
        self.listeners: list[Listener] = []
        self.lane: Lane
        self.stage = Stage()
        self.most_connections = 0
        self._stopping: asyncio.Event | None = None

    @property
    def process(self) -> Process:
        """The parts of this worker, as ``load`` put them together."""
        return self.asgi  # type: ignore[no-any-return]

    def init_signals(self) -> None:
        """Set gunicorn's handlers; what is sent to all processes is for the master alone."""
        super().init_signals()
        for number in _THE_MASTERS:
            self.loop.add_signal_handler(number, lambda: None)

    def handle_exit_signal(self) -> None:
        """SIGTERM: end in order."""
        self.process.health.draining = True
        self.stage.worn()
        for connection in self.connections:
            connection.leave_lane()
        delay_s = self.process.settings.shutdown_delay_s
        self.loop.call_later(delay_s, self._stop)

    def handle_quit_signal(self) -> None:
        """SIGQUIT: end now."""
        super().handle_quit_signal()
        self._stop()

    def _stop(self) -> None:
        self.alive = False
        if self._stopping is not None:
            self._stopping.set()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        # The master holds them back; a loop that does not run yet would lose them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGQUIT})
        heart = self.loop.create_task(self._beat())
        counting = self.loop.create_task(self._hand_on_metrics())
        try:
            await self._begin()
            await self._stopping.wait()
            await self._drain()
            self.stage.ended()
        finally:
            heart.cancel()
            counting.cancel()
            self.process.stop()

    async def _begin(self) -> None:
        try:
            await self.loop.run_in_executor(None, self.process.start)
            _spare_the_collector()
            sys.setswitchinterval(_SWITCH_S)
            await self._listen()
            self.stage.up()
        except Exception as error:
            # Another worker would fail alike: the master is told to give up.
            self.log.exception("the worker cannot start")
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from error

    async def _beat(self) -> None:
        """Tell the master that this worker lives; end when the master has gone."""
        while True:
            self.notify()
            if self.ppid != os.getppid():
                self._stop()
            now_s = self.loop.time()
            crowded = len(self.connections) > _CROWDED * self.most_connections
            limit_s = self.process.settings.keepalive_min_s if crowded else self.cfg.keepalive
            for connection in list(self.connections):
                connection.close_if_idle(now_s, limit_s)
            await asyncio.sleep(_HEARTBEAT_S)

    async def _hand_on_metrics(self) -> None:
        lag_s = 0.0
        while True:
            self.process.hand_on_metrics(lag_s)
            if self.process.is_worn:
                self.stage.worn()
            due_s = self.loop.time() + _METRICS_S
            await asyncio.sleep(_METRICS_S)
            lag_s = max(0.0, self.loop.time() - due_s)

    async def _listen(self) -> None:
        names = ("limit_request_line", "limit_request_fields", "limit_request_field_size")
        self.lane = self.process.lane(self.loop, {it: getattr(self.cfg, it) for it in names})
        self.most_connections = _room(self.process.settings.max_connections)
        tls = self.process.tls_context()
        for socket in self.sockets:
            listener = Listener(
                *(socket.sock, lambda: Connection(self)),
                tls=None if tls is None else (tls, self.process.settings.header_timeout_s),
                connections=self.connections,
                most=self.most_connections,
                log=self.log,
            )
            await listener.start(self.cfg.backlog)
            self.listeners.append(listener)

    async def _drain(self) -> None:
        await asyncio.sleep(0)  # a connection that the kernel has taken is taken here too
        for listener in self.listeners:
            listener.close()
        grace_s = 0.0 if self._quick_shutdown else self.process.settings.graceful_timeout_s
        rpc = self.loop.run_in_executor(None, self.process.drain, grace_s)
        deadline_s = self.loop.time() + grace_s
        await self._drain_connections(deadline_s)
        await rpc
        await self._drain_threads(deadline_s)

    async def _drain_threads(self, deadline_s: float) -> None:
        """Let threads end while the loop still takes what they answer; else they wait for ever."""
        finished = self.loop.run_in_executor(None, self.process.finish)
        left_s = max(0.0, deadline_s - self.loop.time())
        _, unfinished = await asyncio.wait([finished], timeout=left_s)
        if unfinished:
            self.log.warning("requests whose clients have left are still at work")

    async def _drain_connections(self, deadline_s: float) -> None:
        rest_s = self.process.settings.keepalive_min_s
        patient_until_s = self.loop.time() + rest_s
        while self.connections and not self._quick_shutdown and self.loop.time() < deadline_s:
            now_s = self.loop.time()
            for connection in list(self.connections):
                # Whoever asks again and again may have sent the next request already.
                if now_s > patient_until_s or connection.rests(now_s, rest_s):
                    connection.close_idle()
            await asyncio.sleep(_DRAIN_POLL_S)
        if self.connections:
            self.log.warning("closing %d unfinished connections", len(self.connections))
