"""Throughput, start and memory: every server in turn, one row a request, alone on the machine.

In every round every server is started anew, so that none is in another's way and the start
is measured as often as the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http.client import HTTPException
from subprocess import SubprocessError
from typing import TYPE_CHECKING, Final

import grpc
from msgspec.structs import replace

from benchmarks.forms import WrongAnswer
from benchmarks.load import LoadError, Measured
from benchmarks.peers import PEERS, environments
from benchmarks.peers.environments import NotInstalled
from benchmarks.report.results import Asked, Level, Served, Throughput
from benchmarks.scenarios import conditions
from benchmarks.servers import NotReady, ServerError

if TYPE_CHECKING:
    from benchmarks.run import Run, Subject

COMMAND: Final = "throughput"
# What leaves a peer out, with its reason, and lets the others go on.
FAILURES: Final = (
    NotInstalled, ServerError, WrongAnswer, LoadError, NotReady, OSError, HTTPException,
    SubprocessError, grpc.RpcError,
)  # fmt: skip
_WARM_UP_S: Final = 1.0


@dataclass
class _Taken:
    """What the rounds have brought so far."""

    loads: dict[tuple[str, int], list[Measured]] = field(default_factory=dict)
    start_s: list[float] = field(default_factory=list)
    memory_mib: list[tuple[float, ...]] = field(default_factory=list)
    left_out: str = ""


def measure(run: Run) -> Throughput:
    """Measure the run's peers; whoever cannot be measured is named with the reason."""
    taken = {key: _Taken() for key in run.peers}
    for turn in range(run.rounds):
        for key, it in taken.items():
            if not it.left_out:
                _round(run, key, it, f"round {turn + 1} of {run.rounds}")
    return Throughput(
        conditions(run, COMMAND), tuple(_served(run, key, it) for key, it in taken.items())
    )


def _round(run: Run, key: str, taken: _Taken, turn: str) -> None:
    title = PEERS[key].title
    run.note(f"{turn}: {title}")
    try:
        with run.start(key) as subject:
            _measure(subject, taken)
    except FAILURES as error:
        taken.left_out = f"{type(error).__name__}: {error}"
        run.note(f"{title} is left out: {taken.left_out}")


def _measure(subject: Subject, taken: _Taken) -> None:
    taken.start_s.append(subject.start_s)
    rows = subject.run.rows(1)
    for form in subject.peer.forms:
        subject.check(form)
        subject.load(form, rows, max(subject.run.connections), _WARM_UP_S)
        for connections in subject.run.connections:
            found = subject.load(form, rows, connections)
            taken.loads.setdefault((form.name, connections), []).append(found)
            subject.run.note(f"  {form.name}, {connections} connections: {found.rate:,.0f}/s")
        subject.check(form)
    taken.memory_mib.append(tuple(subject.server.memory_mib()))


def _served(run: Run, key: str, taken: _Taken) -> Served:
    peer = PEERS[key]
    version = environments.package_version(peer)
    served = Served(key, peer.title, version, peer.setup)
    if taken.left_out:
        return replace(served, left_out=taken.left_out)
    asked = tuple(
        Asked(
            form.name,
            form.grpc,
            tuple(_level(c, taken.loads[form.name, c]) for c in run.connections),
        )
        for form in peer.forms
    )
    return replace(
        served, asked=asked, start_s=tuple(taken.start_s), memory_mib=tuple(taken.memory_mib)
    )


def _level(connections: int, found: list[Measured]) -> Level:
    return Level(
        connections,
        rates=tuple(it.rate for it in found),
        p50_ms=tuple(it.p50_ms for it in found),
        p99_ms=tuple(it.p99_ms for it in found),
    )
