"""``python -m benchmarks``: measure the peers beside each other and write what was found."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import load
from benchmarks.report import Figures, write
from benchmarks.servers import PEERS, running
from service import contract as contracts
from service.repository.storage import find_versions

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Measure; the exit code is 1 if something that is needed is not there."""
    options = _parse(arguments)
    if shutil.which("wrk") is None:
        print("python -m benchmarks needs wrk (requirements/system.txt)", file=sys.stderr)
        return 1
    versions = find_versions(options.model_base_path)
    if not versions:
        print(f"no version in {options.model_base_path}: make train first", file=sys.stderr)
        return 1
    figures = measure(versions[max(versions)].absolute(), options)
    for line in write(figures, options.output):
        print(line)
    return 0


def measure(version: Path, options: argparse.Namespace) -> list[Figures]:
    """Start every peer, then take turns at loading them, so that noise meets all alike."""
    golden = contracts.read_golden(version)
    instances, expected = [list(golden.instances[0])], [golden.predictions[0]]
    figures = []
    with contextlib.ExitStack() as stack:
        servers = {}
        for name in options.peers:
            print(f"starting {PEERS[name].name}", flush=True)
            servers[name] = stack.enter_context(running(PEERS[name], version, instances, expected))
            # A first load, not counted: every path has been run once.
            load.run(servers[name].url, instances, options.connections, 1)
        runs: dict[str, list[load.Measured]] = {name: [] for name in servers}
        for turn in range(options.rounds):
            for name, server in servers.items():
                runs[name].append(
                    load.run(server.url, instances, options.connections, options.seconds)
                )
                print(
                    f"round {turn + 1} {PEERS[name].name}: {runs[name][-1].rate:,.0f}/s", flush=True
                )
        for name, server in servers.items():
            figures.append(
                Figures(
                    name=PEERS[name].name,
                    rates=tuple(it.rate for it in runs[name]),
                    p50_ms=statistics.median(it.p50_ms for it in runs[name]),
                    p99_ms=statistics.median(it.p99_ms for it in runs[name]),
                    start_s=server.start_s,
                    memory_mib=tuple(server.memory_mib()),
                )
            )
    return figures


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--model_base_path", type=Path, default=Path("models/housing"))
    parser.add_argument("--peers", nargs="+", choices=sorted(PEERS), default=list(PEERS))
    parser.add_argument("--connections", type=int, default=16, help="kept alive")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load a round")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
