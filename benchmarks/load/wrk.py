"""Load over HTTP/1.1 from wrk: one request, posted over kept-alive connections."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.load import LoadError, Measured

if TYPE_CHECKING:
    from benchmarks.cores import Cores
    from benchmarks.forms import Request

_SCRIPT: Final = Path(__file__).with_name("post.lua")


def run(url: str, request: Request, connections: int, seconds: float, cores: Cores) -> Measured:
    """Post a request over and over.

    Args:
        url: The server, without a path.
        request: What to post.
        connections: Kept-alive connections, each with one request under way.
        seconds: How long.
        cores: Where wrk runs.

    Raises:
        LoadError: A request failed.
    """
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder:
        body, headers = Path(folder, "body"), Path(folder, "headers")
        body.write_bytes(request.body)
        headers.write_text("".join(f"{name}: {it}\n" for name, it in request.headers.items()))
        # wrk takes whole seconds.
        options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(_SCRIPT)]
        done = subprocess.run(  # noqa: S603 - ours
            cores.loading(["wrk", *options, url + request.path]),
            env={**os.environ, "BENCH_BODY": str(body), "BENCH_HEADERS": str(headers)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise LoadError(f"wrk against {url}: {(done.stderr or done.stdout).strip()}")
    return parse(done.stdout)


def parse(printed: str) -> Measured:
    """Read what the script printed last.

    Raises:
        LoadError: Requests failed, or none was answered.
    """
    result = json.loads(printed.strip().splitlines()[-1])
    if not result["requests"]:
        raise LoadError(f"no answer within {result['seconds']:.1f} s")
    if result["failed"]:
        raise LoadError(f"{result['failed']} of {result['requests']} requests failed")
    rate = result["requests"] / result["seconds"]
    return Measured(rate, result["p50_ms"], result["p99_ms"])
