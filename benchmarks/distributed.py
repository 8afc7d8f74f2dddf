"""``python -m benchmarks.distributed``: what a second worker on this machine brings, and costs.

One process and two workers train the same networks on the same rows, in turn: the engine and the
sums of its gradients alone, nothing read. So it is what a training does for all but its first
minutes. The workers share this machine's cores and talk over loopback: between machines a
worker has cores of its own, and a sum takes longer by the network's round trips.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from benchmarks.report.results import write_beside
from training.engine import initial, stack
from training.engine.group import ALONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from training.engine.group import Group

_FEATURES: Final = 16
_WIDTHS: Final = ((64, 64), (256, 256), (512, 512))
_BATCHES: Final = (32, 1024, 8192)
_LEAST_STEPS: Final = 10
_EPOCHS: Final = 2
_BUSY: Final = 0.5
_OUTPUT: Final = Path("docs/distributed-benchmarks.md")


class Case(msgspec.Struct, frozen=True):
    """What is trained.

    Attributes:
        widths: Units of each hidden layer.
        batch_size: Rows a step, of all workers.
    """

    widths: tuple[int, ...]
    batch_size: int

    @property
    def weights(self) -> int:
        """How many numbers a gradient has."""
        sizes = [_FEATURES, *self.widths, 1]
        return sum((one + 1) * other for one, other in pairwise(sizes))


class Figures(msgspec.Struct, frozen=True):
    """What was measured of a case, by round.

    Attributes:
        case: What was trained.
        alone_rows_s: Rows a second of one process.
        together_rows_s: Of two workers.
        sum_ms: Milliseconds of a sum of as many numbers as its gradient has, the median.
    """

    case: Case
    alone_rows_s: tuple[float, ...]
    together_rows_s: tuple[float, ...]
    sum_ms: float

    @property
    def times(self) -> list[float]:
        """How many times as fast two workers are, by round."""
        pairs = zip(self.together_rows_s, self.alone_rows_s, strict=True)
        return [together / alone for together, alone in pairs]


class Results(msgspec.Struct, frozen=True):
    """All that was measured.

    Attributes:
        machine: Where.
        load: Load average of the minute before, which is other programs' work.
        cases: By network and batch.
    """

    machine: str
    load: float
    cases: tuple[Figures, ...]


@dataclass(frozen=True)
class _Rows:
    """One block of rows, of which a process has its part; see ``stack.Blocks``."""

    rows: int
    group: Group

    @property
    def lengths(self) -> list[int]:
        return [self.rows]

    def own(self, _number: int) -> slice:
        ends = [
            self.rows * it // self.group.size for it in (self.group.index, self.group.index + 1)
        ]
        return slice(*ends)

    def read(self, number: int) -> stack.Sample:
        own = self.own(number)
        batch = np.random.default_rng(self.group.index).random(
            (own.stop - own.start, _FEATURES), np.float32
        )
        return stack.Sample(batch, batch.sum(axis=1))


def main(arguments: Sequence[str]) -> int:
    """Measure, and write JSON and Markdown."""
    options = _parse(arguments)
    if options.worker is not None:
        return _work(options.addresses.split(","), options.worker)
    found = measure(options.rounds)
    kept = msgspec.json.encode(found)
    write_beside(options.output.with_suffix(".json"), msgspec.json.format(kept) + b"\n")
    write_beside(options.output, page(found).encode())
    print(page(found))
    return 0


def measure(rounds: int) -> Results:
    """Train every case alone and together, in turn."""
    load = os.getloadavg()[0]
    cases = [Case(widths, batch) for widths in _WIDTHS for batch in _BATCHES]
    with _workers() as workers:
        return Results(_machine(), load, tuple(_measure(it, workers, rounds) for it in cases))


def _measure(case: Case, workers: list[subprocess.Popen[str]], rounds: int) -> Figures:
    alone, together, sums = [], [], []
    _together(case, workers)  # graphs are made for its shapes
    for _ in range(rounds):
        alone.append(_rows_s(case, ALONE))
        rows_s, sum_ms = _together(case, workers)
        together.append(rows_s)
        sums.append(sum_ms)
    print(f"{case}: alone {alone}, together {together}, a sum {sums} ms", flush=True)
    return Figures(case, tuple(alone), tuple(together), statistics.median(sums))


def _together(case: Case, workers: list[subprocess.Popen[str]]) -> tuple[float, float]:
    """Rows a second of two workers, and the milliseconds of a sum."""
    for worker in workers:
        if worker.stdin is None:
            raise AssertionError("Popen gave no pipe where one was asked for")
        print(msgspec.json.encode(case).decode(), file=worker.stdin, flush=True)
    answers = [json.loads(worker.stdout.readline()) for worker in workers if worker.stdout]
    rows_s, sum_ms = answers[0]
    return float(rows_s), float(sum_ms)


def _rows_s(case: Case, group: Group) -> float:
    """Rows a second of all processes; the best of some epochs."""
    rows = max(_LEAST_STEPS * case.batch_size, *_BATCHES)
    sizes = [_FEATURES, *case.widths, 1]
    watched = stack.Sample(np.ones((2, _FEATURES), np.float32), np.ones(2, np.float32))
    network = stack.Network(
        initial.draw(sizes, np.random.default_rng(0)),
        watched, watched, 0, 1e-4, blocks=_Rows(rows, group),
    )  # fmt: skip
    times = [perf_counter()]
    method = stack.Method(_EPOCHS + 1, case.batch_size)  # the first makes room
    stack.train(method, [network], lambda *_: times.append(perf_counter()), group)
    return rows / float(np.diff(times)[1:].min())


def _sum_ms(case: Case, group: Group) -> float:
    gradient, times = np.ones((1, case.weights), np.float32), [perf_counter()]
    for _ in range(30):
        group.sum(gradient)
        times.append(perf_counter())
    return float(np.median(np.diff(times))) * 1000


def _work(addresses: list[str], index: int) -> int:
    """Be a worker: train each case that standard input has, until it ends."""
    from training.distributed.cluster import Cluster, Task  # noqa: PLC0415 - in workers alone, as TensorFlow
    from training.distributed.collectives import Ring  # noqa: PLC0415

    tasks = tuple(Task("worker", number, it) for number, it in enumerate(addresses))
    ring = Ring(Cluster(tasks, index))
    for line in sys.stdin:
        case = msgspec.json.decode(line, type=Case)
        print(json.dumps([_rows_s(case, ring), _sum_ms(case, ring)]), flush=True)
    os._exit(0)  # TensorFlow's servers do not end by themselves


@contextmanager
def _workers() -> Iterator[list[subprocess.Popen[str]]]:
    addresses = ",".join(f"127.0.0.1:{_free_port()}" for _ in range(2))
    command = [sys.executable, "-m", "benchmarks.distributed", "--addresses", addresses]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    started = [
        subprocess.Popen(  # noqa: S603 - this module
            [*command, "--worker", str(index)],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for index in range(2)
    ]
    try:
        yield started
    finally:
        for worker in started:
            worker.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def page(found: Results) -> str:
    """The page, from the results alone."""
    busy = (
        f"Other programs kept it busy (load average {found.load:.1f} before): figures are off, "
        "ratios less so."
        if found.load > _BUSY
        else f"It was quiet (load average {found.load:.1f} in the minute before)."
    )
    lines = [
        "# Several workers: benchmarks",
        "",
        f"Networks of {_FEATURES} features, trained by one process and by two workers on one",
        "machine, in turn: medians of rows a second, and of ratios the least and the greatest.",
        "Each worker computes on one core, as one process does. Nothing is read: it is the engine",
        "and the sums of gradients alone. Written by `python -m benchmarks.distributed`.",
        "",
        f"{found.machine}. {busy}",
        "",
        "| network | weights | batch | alone, rows/s | two, rows/s | times as fast | a sum, ms |",
        "|---|---|---|---|---|---|---|",
        *map(_line, found.cases),
    ]
    return "\n".join(lines) + "\n"


def _line(it: Figures) -> str:
    alone, together = statistics.median(it.alone_rows_s), statistics.median(it.together_rows_s)
    times = it.times
    return (
        f"| {'-'.join(map(str, it.case.widths))} | {it.case.weights:,} | {it.case.batch_size:,} "
        f"| {alone:,.0f} | {together:,.0f} "
        f"| {statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f}) "
        f"| {it.sum_ms:.1f} |"
    )


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.distributed",
        description="Time one process and two workers on this machine, on the same rows.",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=_OUTPUT)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--addresses", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
