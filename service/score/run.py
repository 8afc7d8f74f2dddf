"""Scoring a whole table: planned, done by an engine, put together."""

from __future__ import annotations

import contextlib
import json
import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from service.score import versions
from service.score.engines import InProcess, Processes
from service.score.errors import TableError
from service.score.joining import join, list_bad_rows
from service.score.planning import WORK, Options, Run, planned
from service.score.writing import ENDINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from service.score.engines import Engine
    from service.score.journal import Done
    from service.score.tables import Limits

SUMMARY: Final = "_scored.json"
BAD_ROWS: Final = "_bad_rows.csv"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        rows: Rows that are written.
        bad: How many of them were set aside.
        size: How much of ``total`` is done.
        total: Rows of the table, or bytes where nothing says how many rows there are.
    """

    rows: int
    bad: int
    size: int
    total: int


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        output: The file or the folder with the prices.
        rows: Its rows, as many as the table's.
        bad: How many of them have no price.
        bad_rows: The CSV file that says why; None where all have one.
        example: Why one of them has none.
        earlier: Rows that an earlier run had written already.
        version: The folder of the version that priced them.
    """

    output: str
    rows: int
    bad: int
    bad_rows: str | None
    example: str
    earlier: int
    version: str


def score(
    table: str | Path,
    output: str | Path,
    model: str | Path,
    options: Options | None = None,
    engine: Engine | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Result:
    """Score a table of any size.

    Each row of the table has its row in the output, in the same order; one that the model
    cannot take has no price there, and is listed with its reasons in a file of its own. A run
    that was killed goes on when the same is asked for again.

    Args:
        table: A file or a folder of files, CSV, Parquet or Arrow: a path or a URL.
        output: A file, if its name ends as one (``.parquet``, ``.csv``, ``.arrow``), else a
            folder that gets a part for each unit.
        model: The folder of a version, or of a model with its versions.
        options: The rest; None for all as it comes.
        engine: Who does the units; None for as many processes as the options say.
        progress: Told after each unit how far it is.

    Returns:
        What came of it.

    Raises:
        TableError: Table, model, output or options are at fault.
        OSError: Something cannot be read or written.
    """
    options = options or Options()
    run = planned(str(table), str(output), versions.find(model), options)
    chosen = engine or (Processes(run.processes) if run.processes > 1 else InProcess())
    if not run.is_file and (run.target / SUMMARY).exists() and not options.restart:
        return _complete_already(run)
    if run.job.journal.plan() is None and not options.restart:
        _check_empty(run)
    with run.job.journal.locked():
        earlier = _begun(run, restart=options.restart)
        try:
            done = _all_done(run, chosen, earlier, progress)
        except TableError:
            _drop_if_nothing_is_done(run)
            raise
        result = _finished(run, done, sum(it.rows for it in earlier.values()))
        _clean_up(run)
    return result


def _begun(run: Run, *, restart: bool) -> dict[int, Done]:
    """Take up what an earlier run left; gives the units that are done."""
    journal = run.job.journal
    if restart:
        _cleared(run)
    before = journal.plan()
    if before is None:
        journal.begin({**run.plan, "unit_rows": run.limits.rows, "unit_bytes": run.limits.bytes})
        return {}
    for name, now in run.plan.items():
        if before.get(name) != now:
            raise TableError(_differs(run, name, before.get(name), now))
    there = run.job.parts.names()
    return {
        number: it for number, it in journal.done().items() if run.job.part(number).name in there
    }


def _cleared(run: Run) -> None:
    """Remove what earlier runs wrote, and nothing else."""
    folder = run.job.parts
    for claim in (folder / SUMMARY, run.job.journal.folder / "done"):
        claim.remove()  # before what it tells of
    for name in folder.names():
        stem, ending = posixpath.splitext(name)
        number = stem.removeprefix(run.job.part_prefix)
        ours = number.isdigit() and ending in ENDINGS.values()
        if ours or name == BAD_ROWS:
            (folder / name).remove()
    for kept in ("bad", "drafts", "plan.json"):
        (run.job.journal.folder / kept).remove()


def _check_empty(run: Run) -> None:
    others = sorted(run.job.parts.names() - {WORK})
    if others:
        raise TableError(
            f"{run.job.parts} holds {others[0]}"
            + (f" and {len(others) - 1} more" if len(others) > 1 else "")
            + ": give an empty folder, or a new one"
        )


def _differs(run: Run, name: str, before: object, now: object) -> str:
    what = {
        "content": "the table has changed since",
        "contract": "the model version has changed since",
    }.get(name, f"{name} was {json.dumps(before)}, and is {json.dumps(now)}")
    return f"{run.target} was begun by another run: {what}: begin anew with --restart"


def _sizes(run: Run) -> Limits:
    """How the run that is taken up cut the table."""
    plan = run.job.journal.plan() or {}
    return replace(run.limits, rows=plan["unit_rows"], bytes=plan["unit_bytes"])


def _all_done(
    run: Run, engine: Engine, earlier: dict[int, Done], progress: Callable[[Progress], None]
) -> list[Done]:
    """Do what is not done; gives all units in order."""
    done = dict(earlier)
    units = (it for it in run.table.units(_sizes(run)) if it.number not in earlier)
    shown = _Shown(run.table.size, progress)
    shown.add(*earlier.values())
    with contextlib.closing(engine.run(run.job, units)) as results:
        for it in results:
            done[it.number] = it
            shown.add(it)
    _check_rows(run, done)
    return [done[number] for number in sorted(done)]


def _drop_if_nothing_is_done(run: Run) -> None:
    """Leave nothing of a run that has come to nothing, so that another may begin."""
    if not run.job.journal.done():
        _clean_up(run)


def _clean_up(run: Run) -> None:
    """Remove what was there for the run alone.

    Notes go before what they tell of, and the plan after it: whoever is killed meanwhile has left a
    run to go on with.
    """
    journal, parts = run.job.journal, run.job.parts
    (journal.folder / "done").remove()
    if run.is_file:
        for name in parts.names() - {WORK}:
            (parts / name).remove()
    (parts if run.is_file else journal.folder).remove()


class _Shown:
    """Adds up what is done, and tells."""

    def __init__(self, total: int, progress: Callable[[Progress], None]) -> None:
        self._now = Progress(0, 0, 0, total)
        self._progress = progress

    def add(self, *done: Done) -> None:
        now = self._now
        self._now = Progress(
            now.rows + sum(it.rows for it in done),
            now.bad + sum(it.bad for it in done),
            now.size + sum(it.size for it in done),
            now.total,
        )
        self._progress(self._now)


def _check_rows(run: Run, done: Mapping[int, Done]) -> None:
    """Refuse to call complete what is not: each row of the table is there once."""
    rows = sum(it.rows for it in done.values())
    size = sum(it.size for it in done.values())
    whole = run.table.rows
    if run.table.is_local and run.table.mark() != run.plan["content"]:
        raise TableError("the table has changed while it was scored: begin anew with --restart")
    if size != run.table.size or (whole is not None and rows != whole):
        raise TableError(f"{run.target} would have {rows} rows, the table {whole or 'others'}")


def _finished(run: Run, done: list[Done], earlier: int) -> Result:
    """Put the output together."""
    bad = sum(it.bad for it in done)
    if run.is_file:
        join(run, done)
    place = run.target.beside(".bad_rows.csv") if run.is_file else run.target / BAD_ROWS
    place.remove()
    if bad:
        list_bad_rows(run, done, place)
    result = Result(
        str(run.target), sum(it.rows for it in done), bad, str(place) if bad else None,
        next((it.example for it in done if it.bad), ""), earlier, str(run.job.version),
    )  # fmt: skip
    if not run.is_file:
        summary = {**run.plan, **vars(result)}
        content = json.dumps(summary, indent=1).encode()
        (run.target / SUMMARY).write(content, run.job.journal.drafts)
    return result


def _complete_already(run: Run) -> Result:
    summary = json.loads((run.target / SUMMARY).read())
    for name, now in run.plan.items():
        if summary.get(name) != now:
            raise TableError(_differs(run, name, summary.get(name), now))
    run.job.journal.folder.remove()  # its own run may have ended before it did
    names = ("output", "rows", "bad", "bad_rows", "example", "version")
    return Result(**{it: summary[it] for it in names}, earlier=summary["rows"])
