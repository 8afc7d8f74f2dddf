"""Servers under test: how each is started, stopped, and how much memory it holds."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

START_LIMIT_S: Final = 60.0
STOP_LIMIT_S: Final = 20.0
PATH: Final = "/v1/models/housing:predict"


@dataclass(frozen=True)
class Peer:
    """One way to serve the model.

    Attributes:
        name: Its name in tables.
        command: From a port and the version's folder to the command line.
        environment: Further variables, from the version's folder.
    """

    name: str
    command: Callable[[int, Path], list[str]]
    environment: Callable[[Path], Mapping[str, str]]


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        url: Where it takes predict requests.
        start_s: Seconds from starting its process to its first right answer.
        process: Its first process.
    """

    url: str
    start_s: float
    process: subprocess.Popen[bytes]

    def memory_mib(self) -> list[float]:
        """Memory of each of its processes in MiB, shared pages by share (PSS)."""
        return [_pss_mib(pid) for pid in [self.process.pid, *_children(self.process.pid)]]


def _hearth(port: int, version: Path) -> list[str]:
    return [
        sys.executable, "-m", "service", f"--rest_api_port={port}", "--host=127.0.0.1",
        "--model_name=housing", f"--model_base_path={version.parent}", "--quiet",
    ]  # fmt: skip


def _flask(port: int, _version: Path) -> list[str]:
    return [
        sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1",
        "--worker-class", "gthread", "--threads", "16", "--keep-alive", "75",
        "--log-level", "warning", "--no-control-socket",
        "benchmarks.peers.flask_tensorflow:create_app()",
    ]  # fmt: skip


PEERS: Final = {
    "hearth": Peer("Hearth", _hearth, lambda _: {}),
    "flask": Peer("Flask + TensorFlow", _flask, lambda version: {"MODEL": str(version)}),
}


@contextlib.contextmanager
def running(peer: Peer, version: Path, instances: Any, expected: list[float]) -> Iterator[Running]:
    """Start a server, wait for its first right answer, and stop it in the end.

    Args:
        peer: What to start.
        version: The model version to serve.
        instances: Rows to ask for.
        expected: Their prices, thousand USD; another answer is an error.

    Raises:
        RuntimeError: It ends or answers wrongly, or does not answer within the limit.
    """
    port = _free_port()
    environment = {**os.environ, **peer.environment(version)}
    started_s = time.perf_counter()
    process = subprocess.Popen(peer.command(port, version), env=environment)  # noqa: S603 - ours
    url = f"http://127.0.0.1:{port}{PATH}"
    try:
        answer = _first_answer(url, instances, process, peer.name)
        _check(peer.name, answer, expected)
        yield Running(url, time.perf_counter() - started_s, process)
    finally:
        _stop(process)


def _first_answer(
    url: str, instances: Any, process: subprocess.Popen[bytes], name: str
) -> list[float]:
    body = json.dumps({"instances": instances}).encode()
    deadline_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, body, timeout=5) as response:  # noqa: S310 - loopback
                predictions: list[float] = json.load(response)["predictions"]
                return predictions
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.005)
    raise RuntimeError(f"{name} did not answer within {START_LIMIT_S:g} s")


def _check(name: str, answer: list[float], expected: list[float]) -> None:
    if len(answer) != len(expected) or any(
        abs(a - e) > 1e-3 for a, e in zip(answer, expected, strict=True)
    ):
        raise RuntimeError(f"{name} answers {answer}, expected {expected}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _pss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/smaps_rollup has no Pss")
