"""Servers that tests talk to: started as processes of their own on free ports, and stopped.

with running_service(models) as service:
    service.get("/v1/models/housing")
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from socketserver import BaseServer

ROOT = Path(__file__).resolve().parent.parent
START_S = 100.0
STOP_S = 30.0
_PAUSE_S = 0.02
_AT_ONCE = 16  # processes that run tests, at the most


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body, read as UTF-8."""
        return self.body.decode()


@dataclass(frozen=True)
class Server:
    """A server that runs as a process.

    Attributes:
        url: Where it answers HTTP, without a slash at the end.
        process: The process itself.
        log: The file that its output goes to.
        grpc: Where it answers gRPC, as host and port; empty for nowhere.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    grpc: str = ""

    def get(self, path: str) -> Answer:
        """Ask for a path; an error's status is an answer too."""
        return fetch(self.url + path)

    def post(self, path: str, body: Any) -> Answer:
        """Post JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return fetch(self.url + path, data)

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")


@contextlib.contextmanager
def running_service(
    models: Path, *, name: str = "housing", until: str | None = "/readyz", **flags: object
) -> Iterator[Server]:
    """Run ``python -m service`` on free ports of the loopback address.

    Args:
        models: The folder in which the model's folder lies.
        name: The model's name.
        until: The path that must answer 200 before the service is handed over; None
            for as soon as the process is there.
        **flags: Further flags, or other values: ``workers=2`` is ``--workers=2``.

    Yields:
        The service. It is stopped by SIGTERM, and must then end in time and with 0.

    Raises:
        RuntimeError: It did not start, or did not stop as it should.
    """
    port = free_port()
    given: dict[str, object] = {
        "rest_api_port": port,
        "port": free_port(),
        "host": "127.0.0.1",
        "model_name": name,
        "model_base_path": models / name,
        **flags,
    }
    command = [sys.executable, "-m", "service", *(f"--{key}={it}" for key, it in given.items())]
    url = f"http://{given['host']}:{given['rest_api_port']}"
    with running(command, url, None if until is None else f"{url}{until}") as server:
        yield replace(server, grpc=f"{given['host']}:{given['port']}")


@contextlib.contextmanager
def running(command: Sequence[str], url: str, ready: str | None) -> Iterator[Server]:
    """Run a server's command, wait until an address answers 200, and stop it afterwards.

    Args:
        command: Program and arguments.
        url: Where it will answer.
        ready: The address to wait for, or None.

    Raises:
        RuntimeError: It did not start, or did not stop as it should.
    """
    with tempfile.TemporaryDirectory(prefix="hearth-test-") as folder:
        log = Path(folder) / "output"
        with log.open("wb") as output:
            server = Server(url, _start(command, output), log)
        try:
            if ready is not None:
                _wait_for_start(server, ready)
            yield server
        finally:
            _stop(server)
        _check_exit(server)


@contextlib.contextmanager
def in_a_thread(server: BaseServer) -> Iterator[None]:
    """Run a server of this process's own, and end it afterwards."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def fetch(url: str, data: bytes | None = None) -> Answer:
    """Ask over HTTP; a status of 400 and more is an answer, a refused connection is not.

    Raises:
        OSError: Nobody answers there.
    """
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return Answer(response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read())


def wait_until(condition: Callable[[], object], what: str, within_s: float = 30.0) -> None:
    """Wait until a condition holds.

    Args:
        condition: Asked again and again.
        what: What is waited for, to name when it never comes.
        within_s: The longest wait in seconds.

    Raises:
        TimeoutError: It did not come in time.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        time.sleep(_PAUSE_S)


def free_port() -> int:
    """A TCP port that nobody listens on now, on any address; each of a run's is another.

    None that the kernel gives to connections: one of those might take it before its server does.
    """
    return next(port for port in _ports if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True


def _own_ports() -> Iterator[int]:
    """Ports of this process's own: of those that run tests at once every one has others."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(20_000 + number % _AT_ONCE, 32_000, _AT_ONCE)
    begin = random.SystemRandom().randrange(len(ports))
    return itertools.cycle([*ports[begin:], *ports[:begin]])


_ports = _own_ports()


def _start(command: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    )


def _wait_for_start(server: Server, ready: str) -> None:
    def ended_or_ready() -> bool:
        return server.process.poll() is not None or _answers(ready)

    try:
        wait_until(ended_or_ready, f"200 from {ready}", START_S)
    except TimeoutError as error:
        raise RuntimeError(f"{error}\n{server.output()}") from error
    if server.process.poll() is not None:
        raise RuntimeError(f"ended with {server.process.returncode}\n{server.output()}")


def _answers(url: str) -> bool:
    try:
        return fetch(url).status == 200
    except OSError:
        return False


def _stop(server: Server) -> None:
    if server.process.poll() is not None:
        return
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()


def _check_exit(server: Server) -> None:
    if server.process.returncode != 0:
        raise RuntimeError(f"ended with {server.process.returncode}\n{server.output()}")


def workers_of(service: Any) -> set[int]:
    """The processes of a service's workers."""
    pid = service.process.pid
    return {int(it) for it in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def metric(service: Any, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(service.get("/metrics").text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
