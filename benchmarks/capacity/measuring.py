"""A real Hearth, one worker: what requests cost it, and how long they take at several loads."""

from __future__ import annotations

import os
import statistics
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from benchmarks import servers
from benchmarks.capacity import arrivals, simulation
from benchmarks.capacity.figures import Compared, Cost, Figures, Memory
from benchmarks.capacity.simulation import Workers
from benchmarks.load import paced
from benchmarks.peers import HEARTH, PEERS
from benchmarks.report.results import this_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from benchmarks.forms import Form, Request
    from benchmarks.run import Run, Subject

MANY: Final = 1000  # rows
CONNECTIONS: Final = 64
# The least load says what the way costs besides the worker; the others are foretold from it.
_LEAST: Final = 0.05
_MODELS: Final = 10  # further ones
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SEED: Final = 11


class Kind(NamedTuple):
    """Requests that are alike.

    Attributes:
        name: What they are called.
        rows: Of each.
        shares: Of the greatest rate, to be asked at.
        flags: The service's.
        places: Of the worker, for the one client that the load is.
    """

    name: str
    rows: int
    shares: tuple[float, ...]
    flags: tuple[str, ...] = ()
    places: float = float("inf")


# A lone client may hold half of the places.
KINDS: Final = (
    Kind("one row, answered on the event loop", 1, (0.2, 0.4, 0.6, 0.8)),
    Kind(
        "1000 rows, answered in threads, 8 places", MANY, (0.2, 0.5, 0.8, 1.5),
        ("--max_requests_in_flight=16",), 8,
    ),
)  # fmt: skip


def measure(run: Run) -> Figures:
    """Measure costs, memory and latencies."""
    with run.start(HEARTH) as subject:
        subject.check(subject.peer.forms[0])
        costs = tuple(_cost(subject, it) for it in subject.peer.forms)
        master, worker, *_ = subject.server.memory_mib()
    one, several = (_worker_mib(run, models) for models in (1, 1 + _MODELS))
    memory = Memory(master, worker, max(0.0, several - one) / _MODELS)
    compared = tuple(it for kind in KINDS for it in _compare(run, kind))
    machine = this_machine()
    described = f"{machine.processor} ({machine.cores} cores), Python {machine.python}"
    return Figures(described, run.busy, run.seconds, costs, memory, compared)


def _cost(subject: Subject, form: Form) -> Cost:
    one, many = (
        statistics.median(_cpu_us(subject, form, rows) for _ in range(subject.run.rounds))
        for rows in (1, MANY)
    )
    subject.run.note(f"  {form.name}: {one:.1f} us, {MANY} rows {many:.0f} us")
    return Cost(form.name, one, many, MANY)


def _cpu_us(subject: Subject, form: Form, rows: int) -> float:
    """CPU time of the server's processes a request, under as much load as it bears."""
    before_s = _cpu_s(subject.server)
    found = subject.load(form, subject.run.rows(rows), 16)
    return (_cpu_s(subject.server) - before_s) / (found.rate * subject.run.seconds) * 1e6


def _cpu_s(server: servers.Server) -> float:
    pids = [server.process.pid, *servers.descendants(server.process.pid)]
    return sum(_ticks(pid) for pid in pids) / _TICKS


def _ticks(pid: int) -> int:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def _worker_mib(run: Run, models: int) -> float:
    """What a worker takes that serves so many models and was asked little."""
    with servers.scratch() as name:
        config = Path(name) / "models.config"
        entry = 'config {{ name: "{0}" base_path: "{1}" model_platform: "tensorflow" }}\n'
        names = ["housing", *(f"further{number}" for number in range(1, models))]
        entries = "".join(entry.format(it, run.version.parent) for it in names)
        config.write_text(f"model_config_list {{ {entries} }}")
        with run.start(HEARTH, f"--model_config_file={config}") as subject:
            subject.load(subject.peer.forms[0], run.rows(1), 16, 0.5)
            _, worker, *_ = subject.server.memory_mib()
    return worker


def _compare(run: Run, kind: Kind) -> Iterator[Compared]:
    form = PEERS[HEARTH].forms[0]
    with run.start(HEARTH, *kind.flags) as subject:
        # Of two connections: each more would only wait, and be refused where places are few.
        most = max(
            subject.load(form, run.rows(kind.rows), 2 if kind.flags else 16).rate for _ in range(3)
        )
        ask = _asker(subject, form.write(run.rows(kind.rows)))
        ask(most * _LEAST)  # the first answers after a start are slower
        idle_s = ask(most * _LEAST)
        for share in kind.shares:
            found = ask(most * share)
            foretold = _foretell(kind, most, share, run.seconds, idle_s.latency_s[idle_s.answered])
            yield _beside(kind, (share, most * share), found, foretold, run)


def _asker(subject: Subject, request: Request) -> Callable[[float], paced.Paced]:
    run, url = subject.run, subject.server.url(request)

    def ask(rate: float) -> paced.Paced:
        pace = (rate, run.seconds)
        poisson = f"--poisson={_SEED}"
        with paced.Load(url, request, pace, CONNECTIONS, run.cores, poisson) as load:
            return load.result()

    return ask


def _foretell(
    kind: Kind, most: float, share: float, seconds: float, idle_s: NDArray[np.float64]
) -> simulation.Outcome:
    """Have the same load come to a simulated worker.

    Its service is what a request took at the greatest rate; what an idle one took beyond that
    is the way there and back.
    """
    service_s = 1 / most
    random = np.random.default_rng(_SEED)
    times_s = arrivals.poisson(most * share, seconds, _SEED)
    found = simulation.simulate(times_s, lambda: service_s, Workers(1, kind.places))
    way_s = np.maximum(random.choice(idle_s, len(found.latency_s)) - service_s, 0)
    return replace(found, latency_s=found.latency_s + way_s)


def _beside(
    kind: Kind,
    load: tuple[float, float],
    found: paced.Paced,
    foretold: simulation.Outcome,
    run: Run,
) -> Compared:
    share, rate = load
    answered_ms = found.latency_s[found.answered] * 1000
    p50_ms, p99_ms = (float(np.percentile(answered_ms, it)) for it in (50, 99))
    shed = found.failed / len(found.due_s)
    run.note(f"  {kind.name}, {share:g} of the most: p50 {p50_ms:.2f} ms, shed {shed:.1%}")
    return Compared(
        kind.name,
        share,
        rate,
        (p50_ms, foretold.percentile_ms(50)),
        (p99_ms, foretold.percentile_ms(99)),
        (found.rate(run.seconds), foretold.rate(run.seconds)),
        (shed, foretold.shed_share),
    )
