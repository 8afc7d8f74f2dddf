"""What a front costs: ``python -m benchmarks.fleet MODELS`` asks a server, and through a front.

One Hearth stands for the fleet; before it stand one that joins requests, one that does not, and
one that asks by Open Inference Protocol. They are asked in turns, each for a while, and the
medians are printed as a table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.cores import Cores
from benchmarks.forms import grpc_predict, tensorflow_serving
from benchmarks.load import h2load, wrk
from benchmarks.servers import Server, free_ports, running, scratch
from service import contract as contracts
from service.repository.storage import find_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.load import Measured

ROOT: Final = Path(__file__).resolve().parent.parent
# Servers and load share all cores: a front and its fleet would share one otherwise.
_CORES: Final = Cores()


@contextlib.contextmanager
def serving(models: Path, folder: Path, *flags: str) -> Iterator[Server]:
    """A Hearth on free ports, in a folder of its own."""
    folder.mkdir()
    ports = free_ports()
    command = [
        sys.executable, "-m", "service", "--model_name=housing", "--quiet", "--host=127.0.0.1",
        f"--model_base_path={models / 'housing'}", f"--rest_api_port={ports.http}",
        f"--port={ports.grpc}", *flags,
    ]  # fmt: skip
    with running(command, ports, {"PYTHONPATH": str(ROOT)}, folder) as server:
        yield server


def measure(models: Path, seconds: float, rounds: int, connections: int) -> dict[str, Measured]:
    """Ask the server itself and its fronts in turns; the medians of the rounds."""
    versions = find_versions(models / "housing")
    version = versions[max(versions)]
    golden = contracts.read_golden(version)
    rows, expected = [list(golden.rows[0])], [golden.predictions[0]]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(scratch()))
        fleet = stack.enter_context(serving(models, folder / "fleet"))
        fleet.wait(grpc_predict(), rows, expected)
        behind = f"--remote_servers=127.0.0.1:{fleet.ports.grpc}"
        joined = stack.enter_context(serving(models, folder / "joined", behind))
        apart = stack.enter_context(
            serving(models, folder / "apart", behind, "--enable_batching=false")
        )
        other = stack.enter_context(
            serving(models, folder / "other", behind, "--remote_protocol=open_inference")
        )
        for front in (joined, apart, other):
            front.wait(tensorflow_serving(), rows, expected)
        call, body = grpc_predict().write(rows), tensorflow_serving().write(rows)
        answer = len(fleet.ask(call).body)

        def grpc_of(server: Server) -> Measured:
            url = server.url(call)
            return h2load.run(url, call, answer, connections, seconds, _CORES)

        def json_of(server: Server) -> Measured:
            return wrk.run(server.url(body), body, connections, seconds, _CORES)

        ways: dict[str, Callable[[], Measured]] = {
            "the server itself, gRPC": lambda: grpc_of(fleet),
            "the front, JSON, joined": lambda: json_of(joined),
            "the front, JSON, not joined": lambda: json_of(apart),
            "the front, gRPC, joined": lambda: grpc_of(joined),
            "the front, JSON, joined, Open Inference behind": lambda: json_of(other),
        }
        taken = [{name: ask() for name, ask in ways.items()} for _ in range(rounds)]
    return {name: _median([it[name] for it in taken]) for name in ways}


def _median(measured: Sequence[Measured]) -> Measured:
    return sorted(measured, key=lambda it: it.rate)[len(measured) // 2]


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet")
    parser.add_argument("models", type=Path, help="folder with housing/<version>")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    asked = parser.parse_args(arguments)
    found = measure(asked.models.resolve(), asked.seconds, asked.rounds, asked.connections)
    print(f"{asked.connections} connections, one row each, {os.cpu_count()} cores\n")
    print("| who is asked | requests/s | p50, ms | p99, ms |\n|---|---|---|---|")
    for name, it in found.items():
        print(f"| {name} | {it.rate:,.0f} | {it.p50_ms:.2f} | {it.p99_ms:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
