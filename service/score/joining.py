"""Making the output of the parts, and the list of the rows that were set aside."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from service.score.scorer import REASONS
from service.score.tables import CSV
from service.score.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from service.score.journal import Done
    from service.score.places import Place
    from service.score.planning import Run


def join(run: Run, done: list[Done]) -> None:
    """Make one file of all parts, in order."""
    schema = run.job.schema(run.outputs)
    parts = [run.job.part(it.number) for it in done]
    with run.target.replacing(run.job.journal.drafts) as path:
        if run.form == CSV:
            _join_csv(path, schema, parts)
            return
        with Writer(path, schema, run.form, group_bytes=run.job.group_bytes) as writer:
            for batch in (it for part in parts for it in _batches(part)):
                writer.write(batch)


def _join_csv(path: Path, schema: Any, parts: Sequence[Place]) -> None:
    with Writer(path, schema, CSV):
        pass
    with path.open("ab") as file:
        for part in parts:
            with part.open() as content:
                shutil.copyfileobj(content, file, 2**20)


def _batches(part: Place) -> Iterator[Any]:
    """The record batches of an Arrow file."""
    with part.open() as file, pa.ipc.open_file(file) as arrow:
        for number in range(arrow.num_record_batches):
            yield arrow.get_batch(number)


_BAD_ROWS: Final = pa.schema([pa.field("file", pa.string()), *REASONS])


def list_bad_rows(run: Run, done: list[Done], place: Place) -> None:
    """List them by file, and by row in it from 1."""
    before: dict[int, int] = {}
    with place.replacing(run.job.journal.drafts) as path, Writer(path, _BAD_ROWS, CSV) as writer:
        for it in done:
            first = before.get(it.file_number, 0) + 1
            before[it.file_number] = before.get(it.file_number, 0) + it.rows
            name = str(run.table.files[it.file_number].place)
            for batch in _batches(run.job.journal.bad(it.number)) if it.bad else ():
                rows = pc.add(batch.column("row"), first)
                columns = [pa.repeat(name, batch.num_rows), rows, *batch.columns[1:]]
                writer.write(pa.record_batch(columns, schema=_BAD_ROWS))
