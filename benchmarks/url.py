"""Load for any server that runs: one body, posted to one URL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks import cores, servers
from benchmarks.forms import Request, framed
from benchmarks.load import Measured, h2load, paced, wrk

if TYPE_CHECKING:
    import argparse

    from rich.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what this takes."""
    parser.add_argument("url", help="where to post, as http://HOST:PORT/PATH")
    parser.add_argument("--body", type=Path, required=True, help="file with the request's body")
    parser.add_argument("--header", action="append", default=[], metavar="NAME: VALUE")
    parser.add_argument("--grpc", action="store_true", help="the body is a gRPC message")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=3.0, help="of one load")
    parser.add_argument("--rate", type=float, nargs="+", default=[], help="fixed rates instead")
    parser.add_argument("--json", action="store_true", help="print JSON lines")


def load(options: argparse.Namespace, console: Console) -> int:
    """Load it, and print a line for each number of connections, or each rate."""
    address, request = target(options)
    answer = servers.ask(address, request)
    for connections in options.connections if not options.rate else []:
        found = _closed(address, request, len(answer.body), connections, options.seconds)
        _tell(console, options, {
            "connections": connections, "rate": found.rate,
            "p50_ms": found.p50_ms, "p99_ms": found.p99_ms,
        })  # fmt: skip
    for rate in options.rate:
        _tell(console, options, _open(address, request, rate, options))
    return 0


def target(options: argparse.Namespace) -> tuple[str, Request]:
    """The server's address, and what to send there."""
    parts = urlsplit(options.url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    body = options.body.read_bytes()
    headers = {
        name.strip(): value.strip()
        for name, _, value in (it.partition(":") for it in options.header)
    }
    if options.grpc:
        headers = {"Content-Type": "application/grpc", "TE": "trailers", **headers}
        body = framed(body)
    else:
        headers = {"Content-Type": "application/json", **headers}
    return f"{parts.scheme}://{parts.netloc}", Request(path, body, headers, options.grpc)


def _closed(
    address: str, request: Request, answer_bytes: int, connections: int, seconds: float
) -> Measured:
    # Where the server runs is not ours to say, so nothing is pinned.
    if request.grpc:
        return h2load.run(address, request, answer_bytes, connections, seconds, cores.Cores())
    return wrk.run(address, request, connections, seconds, cores.Cores())


def _open(
    address: str, request: Request, rate: float, options: argparse.Namespace
) -> dict[str, float]:
    pace, connections = (rate, options.seconds), max(options.connections)
    with paced.Load(address, request, pace, connections, cores.Cores()) as sender:
        found = sender.result()
    p50_ms, p99_ms, p999_ms = found.percentiles_ms(50, 99, 99.9)
    return {
        "asked": rate, "answered": found.rate(options.seconds), "failed": found.failed,
        "p50_ms": p50_ms, "p99_ms": p99_ms, "p999_ms": p999_ms,
    }  # fmt: skip


def _tell(console: Console, options: argparse.Namespace, found: dict[str, float]) -> None:
    if options.json:
        console.print(json.dumps(found), highlight=False)
        return
    words = [f"{name.removesuffix('_ms')} {value:,.2f}{' ms' * name.endswith('_ms')}"
             for name, value in found.items()]  # fmt: skip
    console.print(", ".join(words), highlight=False)
