"""Load over HTTP/2 from h2load: one gRPC frame, sent over kept-alive connections.

h2load knows nothing of gRPC: a call that fails has the status 200 too, and says so in its
trailers. But it carries no message then, so the bytes of data that came back tell whether
every call was answered.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.load import LoadError, Measured

if TYPE_CHECKING:
    from benchmarks.cores import Cores
    from benchmarks.forms import Request


def run(
    url: str, request: Request, answer_bytes: int, connections: int, seconds: float, cores: Cores
) -> Measured:
    """Send a call over and over.

    Args:
        url: The server, without a path.
        request: The call.
        answer_bytes: Length of a right answer's frame.
        connections: HTTP/2 connections, each with one call under way.
        seconds: How long.
        cores: Where h2load runs.

    Raises:
        LoadError: A call failed.
    """
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(request.body)
        headers = [f"--header={name}: {it}" for name, it in request.headers.items()]
        options = ["-t1", f"-c{connections}", f"-D{round(1000 * seconds)}ms", f"--log-file={log}"]
        done = subprocess.run(  # noqa: S603 - ours
            cores.loading(["h2load", *options, *headers, f"--data={body}", url + request.path]),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LoadError(f"h2load against {url}: {(done.stderr or done.stdout).strip()}")
        rate = parse(done.stdout, answer_bytes, connections)
        p50_ms, p99_ms = parse_log(log.read_text())
    return Measured(rate, p50_ms, p99_ms)


def parse(printed: str, answer_bytes: int, connections: int) -> float:
    """Read the rate from what h2load prints at its end.

    Args:
        printed: Its output.
        answer_bytes: Bytes of data that every call must have brought.
        connections: As many calls may have been under way when the time was over.

    Raises:
        LoadError: Calls failed, none was answered, or answers lack their message.
    """
    done, succeeded, data = (
        int(_found(pattern, printed))
        for pattern in (r"requests: .* (\d+) done,", r" (\d+) succeeded,", r"\((\d+)\) data$")
    )
    if not succeeded or done != succeeded:
        raise LoadError(f"{done - succeeded} of {done} calls failed")
    if not succeeded * answer_bytes <= data <= (succeeded + connections) * answer_bytes:
        raise LoadError(
            f"{succeeded} calls brought {data} bytes of data, expected {answer_bytes} each: "
            "some ended with an error"
        )
    return float(_found(r", ([\d.]+) req/s", printed))


def parse_log(log: str) -> tuple[float, float]:
    """Median and 99th percentile in ms of a log: start, status, microseconds in each line."""
    latencies_us = [int(line.split("\t")[2]) for line in log.splitlines()]
    p50_us, p99_us = np.percentile(latencies_us, [50, 99])
    return float(p50_us) / 1000, float(p99_us) / 1000


def _found(pattern: str, printed: str) -> str:
    match = re.search(pattern, printed, re.MULTILINE)
    if match is None:
        raise LoadError(f"h2load printed no {pattern!r}: {printed[-500:]}")
    return match[1]
