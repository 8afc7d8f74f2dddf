"""What is measured; one module a figure."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from benchmarks.report.results import Conditions, this_machine

if TYPE_CHECKING:
    from benchmarks.run import Run


def conditions(run: Run, command: str) -> Conditions:
    """How a run measures what a command gives."""
    return Conditions(
        date=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        command=f"python -m benchmarks {command}",
        machine=this_machine(),
        cores=str(run.cores),
        busy=run.busy,
        rounds=run.rounds,
        seconds=run.seconds,
    )
