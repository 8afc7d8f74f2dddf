"""Load from wrk: one body posted over kept-alive connections."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCRIPT = Path(__file__).with_name("predict.lua")


@dataclass(frozen=True)
class Measured:
    """What one run of the load showed.

    Attributes:
        rate: Right answers a second.
        p50_ms: Median latency.
        p99_ms: 99th percentile of latency.
    """

    rate: float
    p50_ms: float
    p99_ms: float


def run(url: str, instances: Any, connections: int, seconds: float) -> Measured:
    """Post the same instances over and over.

    Args:
        url: Where to.
        instances: Rows of each request.
        connections: Kept-alive connections, each with one request under way.
        seconds: How long.

    Raises:
        RuntimeError: A request failed; such a run measures nothing.
    """
    with tempfile.NamedTemporaryFile() as body:
        body.write(json.dumps({"instances": instances}).encode())
        body.flush()
        printed = subprocess.run(  # noqa: S603 - ours
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(_SCRIPT), url],  # noqa: S607 - from the distribution
            env={**os.environ, "BENCH_BODY": body.name},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    result = json.loads(printed.strip().splitlines()[-1])
    if result["errors"]:
        raise RuntimeError(f"{result['errors']} of {result['requests']} requests to {url} failed")
    rate = result["requests"] / result["seconds"]
    return Measured(rate, result["p50_ms"], result["p99_ms"])
