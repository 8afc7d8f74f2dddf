"""What a run is to do, found out before anything is done."""

from __future__ import annotations

import hashlib
import itertools
import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from service.contract import CONTRACT
from service.score import versions
from service.score.errors import TableError
from service.score.job import Job
from service.score.journal import Journal
from service.score.places import Place
from service.score.scorer import columns_of, lacking, outputs_of, signature_of
from service.score.tables import ARROW, CSV, FORMATS, NAMED, PARQUET, Limits, Table, open_table
from service.score.writing import GROUP_BYTES, check_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from service.contract import Contract

ALL: Final = "all"
NONE: Final = "none"
# Where a run keeps its journal, in the folder of its parts.
WORK: Final = "_scoring"

_UNIT_ROWS: Final = 2**20
_UNIT_BYTES: Final = 2**24
_BATCH_ROWS: Final = 2**16
_LEAST_BATCH_ROWS: Final = 2**10
# What a process takes whatever it reads: Python, NumPy, Arrow, LiteRT and the model (140 MB),
# and what readers and writers keep ready.
_IDLE_BYTES: Final = 200 * 2**20
# Bytes that a byte of a batch takes in all: as it is read, decoded, cast, and written.
_COPIES: Final = 16
# Bytes that a byte of a CSV unit takes: itself, its texts, and what is written of it.
_CSV_COPIES: Final = 12
# Bytes that a byte of a group takes: gathered, and encoded.
_GROUP_COPIES: Final = 4
_LEAST_BYTES: Final = 16 * 2**20
_TEXT_BYTES: Final = 32


@dataclass(frozen=True)
class Options:
    """How a table is scored.

    Attributes:
        level: The share of true prices that lies within the bounds; None for no bounds.
        columns: What the table calls features, by feature, where it is not their name.
        keep: Which columns of the table stand before the price: names, ``all`` or ``none``.
        format: What is written, one of ``tables.FORMATS``; None for what the output's name says,
            Parquet where it says nothing.
        processes: How many processes do it; 1 is this one alone.
        memory_bytes: What all of them may take together; None for as much as they like.
        unit_rows: Rows of a unit, at least a row group or a batch.
        restart: Drop what an earlier run left.
        verify_versions_with: Public keys; a version that none of them has signed is refused. Who
            does the units sees them under the same paths, and checks for itself.
    """

    level: float | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    keep: str | Sequence[str] = ALL
    format: str | None = None
    processes: int = 1
    memory_bytes: int | None = None
    unit_rows: int = _UNIT_ROWS
    restart: bool = False
    verify_versions_with: Sequence[str | Path] = ()


@dataclass(frozen=True)
class Run:
    """A run that is planned.

    Attributes:
        job: What is done with each unit.
        table: The table.
        target: The output.
        form: Its format.
        is_file: Whether that is one file.
        limits: How it is cut.
        processes: How many processes do it.
        plan: What may not differ from a run that is taken up.
        outputs: The columns that the table gains.
    """

    job: Job
    table: Table
    target: Place
    form: str
    is_file: bool
    limits: Limits
    processes: int
    plan: dict[str, Any]
    outputs: tuple[str, ...]


def planned(table: str, output: str, version: Path, options: Options) -> Run:
    """Plan a run.

    Args:
        table: The table's path or URL.
        output: The output's.
        version: The folder of the version that scores it.
        options: The rest.

    Raises:
        TableError: They do not go together.
    """
    keys = tuple(Path(it).absolute() for it in options.verify_versions_with)
    versions.check(version, keys)
    contract = versions.describe(version)
    signature_of(contract, options.level)
    source, target = Place.of(table), Place.of(output)
    found = open_table(source)
    if any(it.contains(target) or target.contains(it) for it in (source, *found.places)):
        raise TableError(f"{target} is the input, or in it: give the output another place")
    form, is_file = _form(target, options)
    kept = _kept(found, contract, options, form)
    check_columns(kept, form)
    limits, processes = _limits(kept, contract, options)
    folder = target.beside(".parts") if is_file else target
    # What is read again at once, to be joined, need not be encoded first.
    part_form = ARROW if is_file and form == PARQUET else form
    job = Job(
        version, options.level, tuple(options.columns.items()), keys, kept, part_form, not is_file,
        folder, "" if is_file else "part-", Journal(folder / WORK), limits.batch_rows,
        limits.group_bytes,
    )  # fmt: skip
    outputs = outputs_of(contract, options.level)
    plan = _plan(found, source, version, job)
    enough = sum(1 for _ in itertools.islice(found.units(limits), processes))
    return Run(job, found, target, form, is_file, limits, enough, plan, outputs)


def _form(target: Place, options: Options) -> tuple[str, bool]:
    """The output's format, and whether it is one file."""
    if options.format not in {None, *FORMATS}:
        raise TableError(f"format is {options.format}, known: {', '.join(FORMATS)}")
    named = NAMED.get(posixpath.splitext(target.name)[1].lower())
    if named is None or target.is_folder():
        return options.format or PARQUET, False
    if options.format not in {None, named}:
        raise TableError(f"{target} is to be {options.format}, but its name says {named}")
    return named, True


def _kept(table: Table, contract: Contract, options: Options, form: str) -> Any:
    """The columns that are kept, as they are written; all that are needed are there."""
    names = table.schema.names
    wanted = _named(options.keep, names)
    features = columns_of(contract, options.columns)
    for file in table.files:
        there = file.schema.names
        missing = [it for it in (*features, *wanted) if it not in there]
        if missing:
            raise TableError(f"{file.place}: {lacking(missing, there)}")
        twice = [it for it in dict.fromkeys((*features, *wanted)) if there.count(it) > 1]
        if twice:
            raise TableError(f"{file.place}: column {', '.join(twice)} is there more than once")
    taken = [it for it in outputs_of(contract, options.level) if it in wanted]
    if taken:
        raise TableError(
            f"{table.files[0].place}: there is a column {', '.join(taken)} already: rename it, or "
            "keep others"
        )
    if table.format != CSV or form == CSV:
        return pa.schema([table.schema.field(it) for it in wanted])
    numbers = {
        name for name, it in zip(features, contract.features, strict=True) if not it.is_category
    }
    return pa.schema([(it, pa.float64() if it in numbers else pa.string()) for it in wanted])


def _named(keep: str | Sequence[str], names: Sequence[str]) -> list[str]:
    if isinstance(keep, str):
        return {ALL: list(names), NONE: []}.get(keep, [keep])
    return list(dict.fromkeys(keep))


def _limits(kept: Any, contract: Contract, options: Options) -> tuple[Limits, int]:
    """How the table is cut, and for how many processes, so that the memory suffices."""
    processes = max(1, options.processes)
    if options.memory_bytes is None:
        return Limits(options.unit_rows, _UNIT_BYTES, _BATCH_ROWS, GROUP_BYTES), processes
    # This process too, which puts things together.
    least = _IDLE_BYTES + _LEAST_BYTES
    together = _IDLE_BYTES if processes > 1 else 0
    processes = max(1, min(processes, (options.memory_bytes - together) // least))
    each = (options.memory_bytes - (together if processes > 1 else 0)) // processes - _IDLE_BYTES
    if each < _LEAST_BYTES:
        raise TableError(
            f"memory is {options.memory_bytes / 2**20:.0f} MB, at least {least / 2**20:.0f} MB "
            "are needed"
        )
    row_bytes = sum(_width(it.type) for it in kept) + 16 * len(contract.features)
    rows = max(_LEAST_BATCH_ROWS, min(_BATCH_ROWS, each // (_COPIES * row_bytes)))
    unit_bytes = min(_UNIT_BYTES, each // _CSV_COPIES)
    group_bytes = min(GROUP_BYTES, each // _GROUP_COPIES)
    return Limits(options.unit_rows, unit_bytes, rows, group_bytes), processes


def _width(kind: Any) -> int:
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return _TEXT_BYTES


def _plan(table: Table, source: Place, version: Path, job: Job) -> dict[str, Any]:
    return {
        "table": source.path,
        "content": table.mark(),
        "version": str(version),
        "contract": hashlib.sha256((version / CONTRACT).read_bytes()).hexdigest(),
        "level": job.level,
        "columns": dict(job.columns),
        "kept": [f"{it.name} {it.type}" for it in job.kept],
        "format": job.format,
    }
