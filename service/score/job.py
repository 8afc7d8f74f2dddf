"""The work on one unit: read, price, write, note. The same for every engine."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from service.score import versions
from service.score.errors import TableError
from service.score.journal import Done, Journal
from service.score.scorer import REASONS, Scorer
from service.score.tables import ARROW
from service.score.writing import ENDINGS, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service.score.places import Place
    from service.score.scorer import Scored
    from service.score.tables import Unit


@dataclass(frozen=True)
class Job:
    """What is done with every unit; small, and may be sent to another process or machine.

    Attributes:
        version: The folder of the model version, there wherever units are done.
        level: The intervals' level; None for none.
        columns: What the table calls features, by feature, where it is not their name.
        keys: Public keys, one of which must have signed the version; none for no signature.
        kept: The columns of the table that stand before the price, as Arrow fields.
        format: What is written, one of ``tables.FORMATS``.
        header: Of CSV, whether each part has its own header.
        parts: The folder of the parts.
        part_prefix: What their names begin with.
        journal: Where it is noted what is done.
        batch_rows: Rows that are in memory at once.
        group_bytes: How much is held until it is written.
    """

    version: Path
    level: float | None
    columns: tuple[tuple[str, str], ...]
    keys: tuple[Path, ...]
    kept: Any
    format: str
    header: bool
    parts: Place
    part_prefix: str
    journal: Journal
    batch_rows: int
    group_bytes: int

    def part(self, number: int) -> Place:
        """Where a unit's rows are written."""
        name = self.part_prefix + self.journal.part_name(number) + ENDINGS[self.format]
        return self.parts / name

    def writer(self, path: Path, schema: Any) -> Writer:
        """What writes a part."""
        return Writer(path, schema, self.format, group_bytes=self.group_bytes, header=self.header)

    def scorer(self) -> Scorer:
        """What prices, loaded once a process."""
        return scorer_of(self.version, self.level, self.columns, self.keys)

    def schema(self, outputs: tuple[str, ...]) -> Any:
        """The columns that are written."""
        return pa.schema([*self.kept, *((it, pa.float32()) for it in outputs)])


class _Counts(NamedTuple):
    rows: int = 0
    bad: int = 0
    example: str = ""

    def with_chunk(self, scored: Scored) -> _Counts:
        bad = int(scored.bad.sum())
        example = self.example
        if bad and not example:
            found = scored.reasons.slice(0, 1).to_pylist()[0]
            value = "" if found["value"] is None else f"{found['value']}, "
            example = f"{found['column']} is {value}{found['reason']}"
        return _Counts(self.rows + len(scored.bad), self.bad + bad, example)


def score_unit(job: Job, unit: Unit, scorer: Scorer | None = None) -> Done:
    """Read, price and write a unit, and note that it is done.

    Doing it twice does no harm: the result is the same, and takes its place whole.

    Args:
        job: What is done with it.
        unit: Which.
        scorer: What prices; None for the version of the job, loaded once a process.

    Raises:
        TableError: Its file cannot be read, or a column cannot hold a feature.
        OSError: It cannot be written.
    """
    with job.part(unit.number).replacing(job.journal.drafts) as path:
        counts = _written(job, unit, path, scorer or job.scorer())
    done = Done(unit.number, unit.file_number, unit.size, *counts)
    job.journal.note(done)
    return done


def _written(job: Job, unit: Unit, path: Path, scorer: Scorer) -> _Counts:
    schema = job.schema(scorer.outputs)
    counts = _Counts()
    with ExitStack() as stack:
        writer = stack.enter_context(job.writer(path, schema))
        bad = _BadRows(job.journal, unit.number, stack)
        for batch in _batches(job, unit, scorer):
            scored = scorer.score(batch)
            kept = [_kept(unit.file.place, batch, it) for it in job.kept]
            writer.write(pa.record_batch([*kept, *scored.arrays()], schema=schema))
            bad.write(scored.reasons, counts.rows)
            counts = counts.with_chunk(scored)
    return counts


def _batches(job: Job, unit: Unit, scorer: Scorer) -> Iterator[Any]:
    wanted = list(dict.fromkeys([*job.kept.names, *scorer.columns]))
    return unit.file.read(unit.start, unit.stop, wanted, job.batch_rows)


def _kept(place: Place, batch: Any, field: Any) -> Any:
    """A column of a file as it is written: of the first file's type."""
    column = batch.column(batch.schema.get_field_index(field.name))
    if column.type.equals(field.type):
        return column
    if pa.types.is_string(column.type) and pa.types.is_floating(field.type):
        return _numbers(column, field.type)
    try:
        return pc.cast(column, field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TableError(
            f"{place}: column {field.name} holds {column.type}, and in the first file "
            f"{field.type}: {error}"
        ) from error


def _numbers(texts: Any, kind: Any) -> Any:
    """Texts as numbers, null where they are none."""
    try:
        return pc.cast(texts, kind)
    except pa.ArrowInvalid:
        trimmed = pc.utf8_trim_whitespace(texts)
        return pa.array([_number(it) for it in trimmed.to_pylist()], kind)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


class _BadRows:
    """The list of a unit's bad rows, which is begun when there is one.

    Args:
        journal: Where it is kept.
        number: The unit's.
        stack: What is left when the list is complete.
    """

    def __init__(self, journal: Journal, number: int, stack: ExitStack) -> None:
        self._place, self._drafts = journal.bad(number), journal.drafts
        self._stack = stack
        self._writer: Writer | None = None

    def write(self, reasons: Any, before: int) -> None:
        """List a chunk's bad rows, by their place in the unit."""
        if not reasons.num_rows:
            return
        if self._writer is None:
            path = self._stack.enter_context(self._place.replacing(self._drafts))
            self._writer = self._stack.enter_context(Writer(path, REASONS, ARROW))
        rows = pc.add(reasons.column("row"), before)
        for batch in reasons.set_column(0, REASONS.field(0), rows).to_batches():
            self._writer.write(batch)


@lru_cache(maxsize=2)
def scorer_of(
    version: Path,
    level: float | None,
    columns: tuple[tuple[str, str], ...],
    keys: tuple[Path, ...] = (),
) -> Scorer:
    """What prices by a version, loaded once a process.

    Args:
        version: Its folder.
        level: The intervals' level; None for none.
        columns: What the table calls features, by feature.
        keys: Public keys, one of which must have signed it; none for no signature.

    Raises:
        TableError: The version is refused, or does not fit the rest.
    """
    return Scorer(versions.opened(version, keys), level, dict(columns))
