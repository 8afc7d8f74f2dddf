"""A server's life: started, its first right answer, its memory, its end.

Whatever it starts itself ends with it, also where the benchmark is interrupted.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from benchmarks.forms import Reply, Request, framed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.forms import Form, Rows

START_LIMIT_S: Final = 120.0
STOP_LIMIT_S: Final = 20.0
_ASK_LIMIT_S: Final = 20.0
_PAUSE_S: Final = 0.005
_REPLY_TAIL: Final = 1500


class ServerError(RuntimeError):
    """A server did not start, or not in time."""


@dataclass(frozen=True)
class Ports:
    """Free ports of the loopback address for one server."""

    http: int
    grpc: int
    further: int


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        process: Its first process.
        ports: Where it listens.
        started_s: When it was started, on ``time.monotonic``'s clock.
        log: The file that its output goes to.
    """

    process: subprocess.Popen[bytes]
    ports: Ports
    started_s: float = field(default_factory=time.monotonic)
    log: Path = Path(os.devnull)

    def url(self, request: Request) -> str:
        """Where a request goes, without its path."""
        return f"http://127.0.0.1:{self.ports.grpc if request.grpc else self.ports.http}"

    def memory_mib(self, processes: Sequence[int] | None = None) -> list[float]:
        """Memory of each of its processes, or of some, in MiB, shared pages by share (PSS)."""
        all_ = [self.process.pid, *descendants(self.process.pid)]
        return [_pss_mib(pid) for pid in (all_ if processes is None else processes)]

    def ask(self, request: Request) -> Reply:
        """Send one request.

        Raises:
            OSError: Nobody answers there.
            grpc.RpcError: The call failed.
        """
        return ask(self.url(request), request)

    def wait(self, form: Form, rows: Rows, expected: Sequence[float]) -> float:
        """Wait for the first right answer.

        Args:
            form: How to ask.
            rows: What to ask for.
            expected: Their prices.

        Returns:
            Seconds from the start of the process.

        Raises:
            ServerError: The process ended, or the limit was reached.
            WrongAnswer: It answered something else.
        """
        request, last = form.write(rows), ""
        while time.monotonic() < self.started_s + START_LIMIT_S:
            if self.process.poll() is not None:
                raise ServerError(f"ended with {self.process.returncode}: {self._said()}")
            try:
                form.check(self.ask(request), expected)
                return time.monotonic() - self.started_s
            except (OSError, http.client.HTTPException, grpc.RpcError, NotReady) as error:
                last = str(error)
            time.sleep(_PAUSE_S)
        raise ServerError(f"no right answer in {START_LIMIT_S:g} s: {self._said()} Last: {last}")

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-_REPLY_TAIL:].strip()


class NotReady(RuntimeError):
    """A status other than 200."""


def ask(url: str, request: Request) -> Reply:
    """Send one request to a server; see ``Server.ask``.

    Raises:
        NotReady: The status is not 200.
    """
    address = url.removeprefix("http://")
    return _call(address, request) if request.grpc else _post(address, request)


@contextlib.contextmanager
def running(
    command: Sequence[str], ports: Ports, environment: Mapping[str, str], folder: Path
) -> Iterator[Server]:
    """Run a server's command; at the end stop it and all that it started.

    Args:
        command: Program and arguments.
        ports: Those that it was told to listen on.
        environment: Variables beside those of this process.
        folder: Its working folder; its output goes to ``output`` there.
    """
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - ours
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt on the terminal is this process's to handle
        )
    try:
        yield Server(process, ports, log=folder / "output")
    finally:
        stop(process)


def free_ports() -> Ports:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(3)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return Ports(*(probe.getsockname()[1] for probe in probes))


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for one server's files."""
    return tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process by SIGTERM, and by SIGKILL what of its kin is left after the limit."""
    kin = {pid: _born(pid) for pid in descendants(process.pid)}
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid, born in kin.items():
        if born and _born(pid) == born:  # the number may be another's by now
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    found = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def _post(address: str, request: Request) -> Reply:
    connection = http.client.HTTPConnection(address, timeout=_ASK_LIMIT_S)
    try:
        connection.request("POST", request.path, request.body, dict(request.headers))
        response = connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            raise NotReady(f"{response.status}: {body[:300]!r}")
        return Reply(body, {name.lower(): it for name, it in response.getheaders()})
    finally:
        connection.close()


def _call(address: str, request: Request) -> Reply:
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(request.path)
        return Reply(framed(call(request.body[5:], timeout=_ASK_LIMIT_S)))


def _born(pid: int) -> str:
    """When a process was started, in ticks since the machine's start; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _pss_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
