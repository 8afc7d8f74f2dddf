"""Load at a fixed rate, whether or not the server keeps up: ``python -m benchmarks.load.paced``.

wrk and h2load wait for an answer before they ask again, so a server that stalls is asked
less just then and its worst moments are hardly seen (coordinated omission). Here request
``k`` is due at ``start + k / rate``, or after gaps drawn at random of that mean. It is sent
then if a connection is free, else it waits for one in line, and its latency counts from when
it was due. What is not answered a second after the last request was due counts with the time
that it has waited by then.

The sender sleeps only where the next request is far off, and asks the kernel all the time
before it is due: so it keeps to its times within microseconds.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import numpy as np

from benchmarks.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.cores import Cores
    from benchmarks.forms import Request

ROOT: Final = Path(__file__).parents[2]
_DRAIN_S: Final = 1.0
_SPIN_S: Final = 0.0001
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Paced:
    """What became of every request, in the order of their answers.

    Attributes:
        due_s: When it was due, seconds on ``time.monotonic``'s clock, float64 ``[n]``.
        latency_s: From then to its answer, float64 ``[n]``.
        answered: It was answered with 200, bool ``[n]``.
        failed: Requests that were answered otherwise or lost with their connection.
    """

    due_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    answered: NDArray[np.bool_]
    failed: int

    def rate(self, seconds: float) -> float:
        """Right answers by second of the load, those within its time alone."""
        ends = self.due_s[self.answered] + self.latency_s[self.answered]
        return float(np.count_nonzero(ends <= self.due_s.min() + seconds) / seconds)

    def percentiles_ms(self, *points: float) -> list[float]:
        """Percentiles of latency in ms."""
        return [float(it) for it in np.percentile(self.latency_s, points) * 1000]


class Load:
    """A load that runs as a process of its own; ``result`` waits for its end."""

    def __init__(
        self,
        url: str,
        request: Request,
        pace: tuple[float, float],
        connections: int,
        cores: Cores,
        *further: str,
    ) -> None:
        """Start it.

        Args:
            url: The server, without a path.
            request: What to post.
            pace: Requests a second, and seconds.
            connections: Kept-alive connections.
            cores: Where it runs.
            *further: Further flags of the command.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="hearth-bench-")
        folder = Path(self._folder.name)
        (folder / "body").write_bytes(request.body)
        (folder / "headers").write_text(json.dumps(dict(request.headers)))
        rate, seconds = pace
        with (folder / "said").open("w") as said:
            self._process = subprocess.Popen(  # noqa: S603 - ours
                cores.loading([
                    sys.executable, "-m", "benchmarks.load.paced", url + request.path, str(folder),
                    f"--rate={rate}", f"--seconds={seconds}", f"--connections={connections}",
                    *further,
                ]),
                cwd=ROOT,
                stderr=said,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def result(self) -> Paced:
        """What became of the requests.

        Raises:
            LoadError: The sender itself failed.
        """
        folder = Path(self._folder.name)
        if self._process.wait():
            raise LoadError(f"the paced load failed: {(folder / 'said').read_text()[-500:]}")
        with np.load(folder / "result.npz") as found:
            return Paced(
                found["due_s"], found["latency_s"], found["answered"], int(found["failed"])
            )


class Sender:
    """Sends one request over and over on kept-alive connections, each at its time."""

    def __init__(self, address: tuple[str, int], request: bytes, connections: int) -> None:
        self._address = address
        self._request = request
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._idle: deque[int] = deque()
        self._sent_due_s: dict[int, float] = {}
        self._parts: dict[int, bytes] = {}
        self._backlog: deque[float] = deque()
        self._due_s, self._latency_s = array("d"), array("d")
        self._answered = array("b")
        self._failed = 0
        for _ in range(connections):
            self._connect()

    def run(self, rate: float, seconds: float, seed: int | None = None) -> Paced:
        """Send at a rate for a time, then wait for what is under way."""
        start_s = time.monotonic()
        for due_s in _schedule(start_s, rate, seconds, seed):
            self._until(due_s)
            self._backlog.append(due_s)
            self._send()
        deadline_s = start_s + seconds + _DRAIN_S
        while (self._backlog or self._sent_due_s) and time.monotonic() < deadline_s:
            self._receive()
        self._give_up()
        return Paced(
            np.array(self._due_s),
            np.array(self._latency_s),
            np.array(self._answered, np.bool_),
            self._failed,
        )

    def close(self) -> None:
        """Close all connections."""
        for it in self._sockets.values():
            it.close()
        self._poll.close()

    def _until(self, due_s: float) -> None:
        self._receive()
        while (ahead_s := due_s - time.monotonic()) > 0:
            if ahead_s > 2 * _SPIN_S:
                # An epoll is a file too; select takes microseconds where poll takes milliseconds.
                select.select([self._poll], [], [], ahead_s - _SPIN_S)
            self._receive()

    def _connect(self) -> None:
        connection = socket.create_connection(self._address, timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[connection.fileno()] = connection
        self._poll.register(connection.fileno(), select.EPOLLIN)
        self._idle.append(connection.fileno())

    def _send(self) -> None:
        while self._backlog and self._idle:
            number = self._idle.popleft()
            due_s = self._backlog.popleft()
            self._sent_due_s[number] = due_s
            try:
                self._sockets[number].sendall(self._request)
            except OSError:
                self._lost(number)

    def _receive(self) -> None:
        for number, _ in self._poll.poll(0):
            try:
                data = self._sockets[number].recv(65536)
            except OSError:
                data = b""
            if data:
                self._take(number, self._parts.pop(number, b"") + data)
            else:
                self._lost(number)
        self._send()

    def _take(self, number: int, data: bytes) -> None:
        if not is_whole(data):
            self._parts[number] = data
            return
        self._note(self._sent_due_s.pop(number), answered=is_ok(data))
        self._failed += not is_ok(data)
        self._idle.append(number)

    def _lost(self, number: int) -> None:
        """A connection has ended: with its request, if one was under way; a new one takes over."""
        due_s = self._sent_due_s.pop(number, None)
        self._parts.pop(number, None)
        if due_s is not None:
            self._note(due_s, answered=False)
            self._failed += 1
        else:
            self._idle.remove(number)
        self._poll.unregister(number)
        self._sockets.pop(number).close()
        self._connect()

    def _give_up(self) -> None:
        for due_s in [*self._sent_due_s.values(), *self._backlog]:
            self._note(due_s, answered=False)

    def _note(self, due_s: float, *, answered: bool) -> None:
        self._due_s.append(due_s)
        self._latency_s.append(time.monotonic() - due_s)
        self._answered.append(answered)


def is_whole(data: bytes) -> bool:
    """These bytes are one whole HTTP/1.1 answer, by its length or its last chunk."""
    head, end, body = data.partition(_HEAD_END)
    if not end:
        return False
    length = _LENGTH.search(head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def is_ok(data: bytes) -> bool:
    """The answer's status is 200."""
    return data.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))


def post(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A POST request as it goes over the wire."""
    parts = urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + _HEAD_END + body


def _schedule(start_s: float, rate: float, seconds: float, seed: int | None) -> Iterator[float]:
    if seed is None:
        return (start_s + k / rate for k in range(round(rate * seconds)))
    gaps_s = np.random.default_rng(seed).exponential(1 / rate, round(rate * seconds))
    return (start_s + float(it) for it in np.cumsum(gaps_s))


def main(arguments: Sequence[str]) -> int:
    """Send what a folder holds, and put beside it what became of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.paced", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path, help="with body and headers; result.npz goes there")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--poisson", type=int, help="gaps drawn at random, from this seed")
    options = parser.parse_args(arguments)
    headers = json.loads((options.folder / "headers").read_text())
    request = post(options.url, (options.folder / "body").read_bytes(), headers)
    parts = urlsplit(options.url)
    sender = Sender((parts.hostname or "", parts.port or 80), request, options.connections)
    try:
        found = sender.run(options.rate, options.seconds, options.poisson)
    finally:
        sender.close()
    np.savez(
        options.folder / "result.npz",
        due_s=found.due_s,
        latency_s=found.latency_s,
        answered=found.answered,
        failed=found.failed,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
