"""Targets that compare Hearth's throughput and latency with a limit, a peer, or itself."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks import forms
from benchmarks.peers import FASTAPI, FLASK, GRPC, HEARTH, LIMITS, NGINX
from benchmarks.peers.environments import NotInstalled
from benchmarks.peers.peer import PROGRAMS
from benchmarks.run import UNPINNED
from benchmarks.scenarios import throughput
from benchmarks.scenarios.finding import Finding, ratio, readable
from service import contract as contracts

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.forms import Form
    from benchmarks.report.results import Level, Throughput
    from benchmarks.run import Run

_CONNECTIONS = 16
_BATCH = 10_000


def against_nginx(form: Form) -> Callable[[Run], Finding]:
    """One row in a protocol, against nginx's constant answer to the same bytes."""

    def measure(run: Run) -> Finding:
        with run.start(HEARTH) as hearth, run.start(NGINX) as nginx:
            hearth.check(form)
            return ratio(run.rounds, "/s", {
                "Hearth": lambda: hearth.load(form, run.rows(1), _CONNECTIONS).rate,
                "nginx": lambda: nginx.load(form, run.rows(1), _CONNECTIONS).rate,
            })  # fmt: skip

    return measure


def latency_against_nginx(run: Run) -> Finding:
    """One row on one connection: median latency against nginx's."""
    form = forms.tensorflow_serving()
    with run.start(HEARTH) as hearth, run.start(NGINX) as nginx:
        return ratio(run.rounds, "ms", {
            "Hearth": lambda: hearth.load(form, run.rows(1), 1).p50_ms,
            "nginx": lambda: nginx.load(form, run.rows(1), 1).p50_ms,
        })  # fmt: skip


def against_flask(run: Run) -> Finding:
    """One row as JSON, against plain Flask with TensorFlow."""
    form = forms.tensorflow_serving()
    with run.start(HEARTH) as hearth, run.start(FLASK) as flask:
        flask.check(form)
        return ratio(run.rounds, "/s", {
            "Hearth": lambda: hearth.load(form, run.rows(1), _CONNECTIONS).rate,
            "Flask": lambda: flask.load(form, run.rows(1), _CONNECTIONS).rate,
        })  # fmt: skip


def against_fastapi(run: Run) -> Finding:
    """1000 rows as JSON, rows a second, against FastAPI with TensorFlow."""
    form, rows = forms.tensorflow_serving(), run.rows(1000)
    with run.start(HEARTH) as hearth, run.start(FASTAPI) as fastapi:
        fastapi.check(form)
        return ratio(run.rounds, "rows/s", {
            "Hearth": lambda: len(rows) * hearth.load(form, rows, _CONNECTIONS).rate,
            "FastAPI": lambda: len(rows) * fastapi.load(form, rows, _CONNECTIONS).rate,
        })  # fmt: skip


def against_fastest_peer(run: Run) -> Finding:
    """One row over REST, against whichever peer answers most, each at its best."""
    found: Throughput = run.once(throughput.COMMAND, lambda: throughput.measure(run))
    best = {
        it.key: (it.title, level)
        for it in found.measured
        if it.key not in LIMITS and (level := it.best())
    }
    if HEARTH not in best or len(best) == 1:
        raise NotInstalled("no peer is among those measured")
    _, hearth = best.pop(HEARTH)
    title, fastest = max(best.values(), key=lambda it: statistics.median(it[1].rates))
    ratios = tuple(a / b for a, b in zip(hearth.rates, fastest.rates, strict=True))
    return Finding(ratios, f"{_best('Hearth', hearth)}; {_best(title, fastest)}")


def against_litert(run: Run) -> Finding:
    """10,000 rows as v2 binary, rows a second, against LiteRT in a loop without a server."""
    form, rows = forms.open_inference_binary(), run.rows(_BATCH)
    with run.start(HEARTH) as hearth:
        form.check(hearth.server.ask(form.write(rows)), run.prices(_BATCH))
        return ratio(run.rounds, "rows/s", {
            "Hearth": lambda: len(rows) * hearth.load(form, rows, 4).rate,
            "LiteRT": lambda: _litert_rate(run),
        })  # fmt: skip


def grpc_against_constant(run: Run) -> Finding:
    """GRPC Predict, one row, against a handler that answers a constant."""
    form = forms.grpc_predict()
    with run.start(HEARTH) as hearth, run.start(GRPC) as constant:
        hearth.check(form)
        return ratio(run.rounds, "/s", {
            "Hearth": lambda: hearth.load(form, run.rows(1), _CONNECTIONS).rate,
            "constant": lambda: constant.load(form, run.rows(1), _CONNECTIONS).rate,
        })  # fmt: skip


def joined_against_alone(run: Run) -> Finding:
    """The TensorFlow executor with joining of requests against the same without, 64 connections."""
    form, executor = forms.tensorflow_serving(), "--executor=tensorflow"
    with (
        run.start(HEARTH, executor, "--enable_batching=true") as joined,
        run.start(HEARTH, executor, "--enable_batching=false") as alone,
    ):
        joined.check(form)
        return ratio(run.rounds, "/s", {
            "joined": lambda: joined.load(form, run.rows(1), 64).rate,
            "alone": lambda: alone.load(form, run.rows(1), 64).rate,
        })  # fmt: skip


def two_workers_against_one(run: Run) -> Finding:
    """Two workers against one, 100 rows as JSON, so that the load's own work weighs little.

    The servers need two cores. Where the load cannot have further ones it shares them.
    """
    cores = run.cores if len(run.cores.server) > 1 else UNPINNED
    form, rows = forms.tensorflow_serving(), run.rows(100)
    with (
        run.start(HEARTH, workers=2, cores=cores) as two,
        run.start(HEARTH, workers=1, cores=cores) as one,
    ):
        found = ratio(run.rounds, "/s", {
            "two": lambda: two.load(form, rows, 64).rate,
            "one": lambda: one.load(form, rows, 64).rate,
        })  # fmt: skip
    return Finding(found.values, f"{found.detail}; {cores}")


def _litert_rate(run: Run) -> float:
    program, model = PROGRAMS / "litert_alone.py", run.version / contracts.LITERT_MODEL
    command = [sys.executable, str(program), str(model), str(_BATCH), str(run.seconds)]
    done = subprocess.run(  # noqa: S603 - ours
        run.cores.serving(command), capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def _best(title: str, level: Level) -> str:
    rate = readable(statistics.median(level.rates))
    return f"{title} {rate} /s at {level.connections} connections"
