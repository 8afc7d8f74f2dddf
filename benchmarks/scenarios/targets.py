"""The targets: what Hearth is held to, each measured by one function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks import forms
from benchmarks.report.results import AT_LEAST, AT_MOST, Outcome
from benchmarks.scenarios import conditions, lifetime, ratios
from benchmarks.scenarios.finding import Finding
from benchmarks.scenarios.throughput import FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.report.results import Sense
    from benchmarks.run import Run

COMMAND: Final = "targets"


@dataclass(frozen=True)
class Target:
    """One thing that Hearth is held to, with one worker if nothing else is said.

    Attributes:
        what: What is compared with what.
        bound: The least or greatest value that meets it.
        sense: Which of them the bound is.
        unit: Of the value: empty for a share, ``times``, ``failed``, ``s`` or ``MB``.
        measure: What finds the value.
    """

    what: str
    bound: float
    sense: Sense
    unit: str
    measure: Callable[[Run], Finding]


TARGETS: Final[dict[str, Target]] = {
    "json": Target(
        "one row, TensorFlow Serving JSON, 16 connections, against nginx's constant answer",
        0.45, AT_LEAST, "", ratios.against_nginx(forms.tensorflow_serving()),
    ),
    "v2-json": Target(
        "one row, v2 JSON, 16 connections, against nginx's constant answer",
        0.35, AT_LEAST, "", ratios.against_nginx(forms.open_inference()),
    ),
    "v2-binary": Target(
        "one row, v2 binary, 16 connections, against nginx's constant answer",
        0.40, AT_LEAST, "", ratios.against_nginx(forms.open_inference_binary()),
    ),
    "latency": Target(
        "one row, one connection, median latency against nginx's",
        1.5, AT_MOST, "times", ratios.latency_against_nginx,
    ),
    "flask": Target(
        "one row against plain Flask, gunicorn and TensorFlow, 16 connections",
        40, AT_LEAST, "times", ratios.against_flask,
    ),
    "fastest-peer": Target(
        "one row over REST against the fastest peer, each at its best number of connections",
        15, AT_LEAST, "times", ratios.against_fastest_peer,
    ),
    "fastapi": Target(
        "1000 rows of JSON, rows/s against FastAPI and TensorFlow, 16 connections",
        5, AT_LEAST, "times", ratios.against_fastapi,
    ),
    "litert": Target(
        "10,000 rows as v2 binary, rows/s against LiteRT alone on the same batch",
        0.6, AT_LEAST, "", ratios.against_litert,
    ),
    "grpc": Target(
        "gRPC Predict, one row, 16 connections, against a grpc.aio handler that answers a constant",
        0.85, AT_LEAST, "", ratios.grpc_against_constant,
    ),
    "joining": Target(
        "one row, TensorFlow executor, 64 connections, against the same without joining requests",
        5, AT_LEAST, "times", ratios.joined_against_alone,
    ),
    "beside-batches": Target(
        "single-row p99 beside 10,000-row batches of another client, against without them",
        3, AT_MOST, "times", lifetime.beside_batches,
    ),
    "swap-failures": Target(
        "requests that fail while a version is swapped in under load",
        0, AT_MOST, "failed", lifetime.swap_failures,
    ),
    "swap-latency": Target(
        "p99 while a version is swapped in under load, against before",
        2, AT_MOST, "times", lifetime.swap_latency,
    ),
    "start": Target(
        "process start to first right answer",
        1, AT_MOST, "s", lifetime.start,
    ),
    "memory": Target(
        "memory (PSS) of master and one worker",
        100, AT_MOST, "MB", lifetime.memory,
    ),
    "workers": Target(
        "two workers against one, 100 rows of JSON, 64 connections",
        1.6, AT_LEAST, "times", ratios.two_workers_against_one,
    ),
}  # fmt: skip


def measure(run: Run, names: Sequence[str] = tuple(TARGETS)) -> tuple[Outcome, ...]:
    """Measure targets; one that cannot be measured is named with the reason."""
    return tuple(_outcome(run, name) for name in names)


def _outcome(run: Run, name: str) -> Outcome:
    target = TARGETS[name]
    run.note(f"target {name}: {target.what}")
    found, left_out = Finding((), ""), ""
    try:
        found = target.measure(run)
    except FAILURES as error:
        left_out = f"{type(error).__name__}: {error}"
    outcome = Outcome(
        name=name,
        what=target.what,
        bound=target.bound,
        sense=target.sense,
        unit=target.unit,
        conditions=conditions(run, f"{COMMAND} --only {name}"),
        values=found.values,
        detail=found.detail,
        left_out=left_out,
    )
    run.note(f"  {left_out or f'{outcome.value:.3g} {target.unit}: {found.detail}'}")
    return outcome
