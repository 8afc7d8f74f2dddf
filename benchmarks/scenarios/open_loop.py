"""Latency at fixed rates, from far below a server's limit to the first rate past it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.load import paced
from benchmarks.peers import GRPC, PEERS
from benchmarks.report.results import OpenLoop, Pace, Paced
from benchmarks.scenarios import conditions
from benchmarks.scenarios.throughput import FAILURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.run import Run, Subject

COMMAND: Final = "open-loop"
CONNECTIONS: Final = 64
RATES: Final = (500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0, 32000.0, 64000.0)
# A server that answers a smaller share of what is asked is past its limit.
_KEEPS_UP: Final = 0.95
_POINTS: Final = (50.0, 99.0, 99.9)


def measure(run: Run, rates: Sequence[float] = RATES) -> OpenLoop:
    """Measure the run's peers at rising rates; whoever cannot be measured is named."""
    keys = [key for key in run.peers if key != GRPC]
    found: dict[str, dict[float, list[paced.Paced]]] = {key: {} for key in keys}
    left_out: dict[str, str] = {}
    for turn in range(run.rounds):
        for key in keys:
            if key in left_out:
                continue
            run.note(f"fixed rates, round {turn + 1} of {run.rounds}: {PEERS[key].title}")
            try:
                with run.start(key) as subject:
                    _raise(subject, rates, found[key])
            except FAILURES as error:
                left_out[key] = f"{type(error).__name__}: {error}"
                run.note(f"  left out: {left_out[key]}")
    servers = tuple(_server(run, key, found[key], left_out.get(key, "")) for key in keys)
    return OpenLoop(conditions(run, COMMAND), CONNECTIONS, servers)


def _raise(subject: Subject, rates: Sequence[float], found: dict[float, list[paced.Paced]]) -> None:
    """Load a server at one rate after the other, up to the first that is too much."""
    run, form = subject.run, subject.peer.forms[0]
    subject.check(form)
    subject.load(form, run.rows(1), CONNECTIONS, 1)
    request = form.write(run.rows(1))
    for rate in rates:
        pace = (rate, run.seconds)
        url = subject.server.url(request)
        with paced.Load(url, request, pace, CONNECTIONS, run.cores) as load:
            result = load.result()
        found.setdefault(rate, []).append(result)
        p50_ms, p99_ms = result.percentiles_ms(50, 99)
        run.note(f"  {rate:,.0f}/s: p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms")
        if result.rate(run.seconds) < _KEEPS_UP * rate:
            break
    subject.check(form)


def _server(run: Run, key: str, found: dict[float, list[paced.Paced]], left_out: str) -> Paced:
    title = PEERS[key].title
    if left_out:
        return Paced(key, title, left_out=left_out)
    return Paced(
        key, title, tuple(_pace(rate, rounds, run.seconds) for rate, rounds in found.items())
    )


def _pace(rate: float, rounds: list[paced.Paced], seconds: float) -> Pace:
    p50_ms, p99_ms, p999_ms = zip(*(it.percentiles_ms(*_POINTS) for it in rounds), strict=True)
    answered = tuple(it.rate(seconds) for it in rounds)
    return Pace(rate, answered, p50_ms, p99_ms, p999_ms)
