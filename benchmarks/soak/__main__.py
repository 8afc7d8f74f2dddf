"""``python -m benchmarks.soak``: ask a server for a long time, with swaps and faults beside it."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks.servers import descendants, free_ports, running, scratch
from benchmarks.soak import result
from benchmarks.soak.callers import FORMS, Callers, Counts
from benchmarks.soak.faults import Faults
from benchmarks.soak.result import Sample, Soak
from service import contract as contracts
from service.repository.storage import find_versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.servers import Server

_ROOT: Final = Path(__file__).resolve().parents[2]
_LOOKS: Final = 200
_LOST: Final = 1
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str]) -> int:
    """Soak; 1 if a request was lost."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server ends with this process
    console = Console(soft_wrap=True)
    versions = find_versions(options.model_base_path) if options.model_base_path.is_dir() else {}
    if not versions:
        console.print(f"no version in {options.model_base_path}: make train first")
        return _LOST
    try:
        found = soak(versions[max(versions)], options, console)
    except KeyboardInterrupt:
        console.print("interrupted; the server is stopped")
        return _INTERRUPTED
    console.print(result.table(found), markup=False, highlight=False)
    if options.output is not None:
        result.write(found, options.output)
        console.print(f"{options.output}/soak.svg is written")
    return _LOST if found.lost else 0


def soak(version: Path, options: argparse.Namespace, console: Console) -> Soak:
    """Serve a version, and ask, swap and break as long as the options say."""
    counts = Counts()
    with scratch() as made:
        folder = Path(made)
        shutil.copytree(version, folder / "models/housing/1")
        ports = free_ports()
        command = [
            sys.executable, "-m", "service", f"--rest_api_port={ports.http}",
            f"--port={ports.grpc}", "--host=127.0.0.1", "--model_name=housing",
            f"--model_base_path={folder / 'models/housing'}", f"--workers={options.workers}",
            "--file_system_poll_wait_seconds=0.2",
        ]  # fmt: skip
        golden = contracts.read_golden(version)
        environment = {"PYTHONPATH": str(_ROOT)}
        with running(command, ports, environment, folder) as server:
            server.wait(FORMS[0], golden.rows[:1], golden.predictions[:1])
            faults = Faults(folder / "models/housing", ports.http, options.pause)
            callers = Callers(ports, golden, options.callers, counts, options.requests)
            with callers, faults:
                samples = tuple(_looks(server, callers, counts, options.seconds, console))
        if faults.error is not None:
            raise faults.error
    told = (*counts.unanswered, *counts.wrong)
    return Soak(samples, counts.total, counts.refused, counts.lost, told, faults.made)


def _looks(
    server: Server, callers: Callers, counts: Counts, seconds: float, console: Console
) -> Iterator[Sample]:
    """Look at the server again and again, until time or requests are at an end."""
    started_s, pause_s = time.monotonic(), max(1.0, seconds / _LOOKS)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("soaking", total=seconds)
        while (at_s := time.monotonic() - started_s) < seconds and not callers.are_done:
            time.sleep(min(pause_s, seconds - at_s))
            sample = _look(server, counts, time.monotonic() - started_s)
            progress.update(
                bar,
                completed=sample.at_s,
                description=f"{sample.requests:,} requests, {counts.lost} lost, "
                f"{sample.memory_mib:.0f} MiB",
            )
            yield sample


def _look(server: Server, counts: Counts, at_s: float) -> Sample:
    latencies_ms = counts.taken_ms() or [float("nan")]
    p50_ms, p99_ms = np.percentile(latencies_ms, [50, 99])
    workers = _workers(server)
    return Sample(
        at_s=at_s,
        memory_mib=sum(server.memory_mib([server.process.pid, *workers])),
        descriptors=sum(_descriptors(it) for it in workers),
        requests=counts.total,
        p50_ms=float(p50_ms),
        p99_ms=float(p99_ms),
    )


def _workers(server: Server) -> list[int]:
    """The server's workers, without what they have at work apart for a moment."""
    deeper = {it for child in descendants(server.process.pid) for it in descendants(child)}
    return [it for it in descendants(server.process.pid) if it not in deeper]


def _descriptors(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except FileNotFoundError:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--model_base_path", type=Path, default=Path("models/housing"))
    parser.add_argument("--seconds", type=float, default=1800.0, help="1800 by default")
    parser.add_argument(
        "--requests", type=int, default=5_000_000, help="that end it earlier; 5 million by default"
    )
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between faults")
    parser.add_argument("--callers", type=int, default=4, help="threads that ask")
    parser.add_argument("--workers", type=int, default=2, help="of the server")
    parser.add_argument("--output", type=Path, help="folder for table, picture and numbers")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
