"""Writes tables batch by batch: Parquet, Arrow or CSV."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from service.score.errors import TableError
from service.score.tables import ARROW, CSV, PARQUET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# Rows and bytes that are written together: what a reader reads or skips at once.
_GROUP_ROWS: Final = 2**20
GROUP_BYTES: Final = 2**25
_TO_QUOTE: Final = b'",\r\n'
_COMMA, _LINE_END, _MARK, _NOTHING = (
    pa.scalar(it, pa.large_string()) for it in (",", "\n", '"', "")
)
ENDINGS: Final = {PARQUET: ".parquet", CSV: ".csv", ARROW: ".arrow"}


def check_columns(schema: Any, form: str) -> None:
    """Make sure, before anything is done, that a format can hold some columns.

    Args:
        schema: The columns.
        form: One of ``tables.FORMATS``.

    Raises:
        TableError: One of them is of a type that it cannot hold.
    """
    for field in schema:
        try:
            _HELD[form](field)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise TableError(
                f"column {field.name} holds {field.type}, which {form} cannot: keep others, or "
                "write another format"
            ) from error


def _hold_in_parquet(field: Any) -> None:
    file: Any = parquet.ParquetWriter(io.BytesIO(), pa.schema([field]))
    file.close()


def _hold_in_csv(field: Any) -> None:
    _field(pa.array([], field.type))


class Writer:
    """Writes one file, in groups of rows.

    Args:
        path: The file, on this machine.
        schema: Its columns.
        form: One of ``tables.FORMATS``.
        group_bytes: How much is held until it is written.
        header: Of CSV, whether the columns' names come first.
    """

    def __init__(
        self,
        path: Path,
        schema: Any,
        form: str,
        *,
        group_bytes: int = GROUP_BYTES,
        header: bool = True,
    ) -> None:
        self._group_bytes = group_bytes
        self._schema = schema
        self._file: Any = _FILES[form](path, schema)
        if form == CSV and header:
            self._file.write_header()
        self._waiting: list[Any] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._file.close()

    def write(self, batch: Any) -> None:
        """Write a record batch of the schema's columns."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= self._group_bytes:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(pa.Table.from_batches(self._waiting, self._schema))
        self._waiting, self._rows, self._bytes = [], 0, 0


def _parquet(path: Path, schema: Any) -> Any:
    # Prices hardly repeat: a dictionary of them would be built and thrown away.
    floats = {it.name for it in schema if pa.types.is_floating(it.type)}
    repeating = [it for it in schema.names if it not in floats]
    return parquet.ParquetWriter(path, schema, use_dictionary=repeating or False)


class _Csv:
    """CSV with quotes where they are needed, and a number as its shortest text."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._file = path.open("wb")
        self._names = schema.names

    def write_header(self) -> None:
        """Write the names."""
        self._write([pa.array([it]) for it in self._names])

    def write_table(self, table: Any) -> None:
        """Write rows."""
        for batch in table.to_batches():
            if batch.num_rows:
                self._write_rows(batch)

    def close(self) -> None:
        """Write the rest."""
        self._file.close()

    def _write_rows(self, batch: Any) -> None:
        try:
            self._write(batch.columns)
        except pa.ArrowInvalid as error:  # of bytes alone: all else has a text
            raise TableError(f"a column of bytes holds what is no text for csv: {error}") from error

    def _write(self, columns: list[Any]) -> None:
        fields = [_field(it) for it in columns]
        commas = [it for field in fields[1:] for it in (_COMMA, field)]
        self._file.write(_text_of(_joined(fields[0], *commas, _LINE_END)))


def _text_of(lines: Any) -> Any:
    """All texts of an array, one after the other."""
    (_, offsets, text) = lines.buffers()
    ends = pa.Array.from_buffers(pa.int64(), lines.offset + len(lines) + 1, [None, offsets])
    return memoryview(text)[ends[lines.offset].as_py() : ends[len(ends) - 1].as_py()]


def _field(column: Any) -> Any:
    """A column as the texts of CSV fields."""
    array = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    texts = pc.fill_null(pc.cast(array, pa.large_string()), "")
    if pa.types.is_primitive(array.type) or not _has_any(texts, _TO_QUOTE):
        return texts
    needed = pc.match_substring_regex(texts, f"[{_TO_QUOTE.decode()}]")
    doubled = pc.replace_substring(texts, '"', '""')
    return pc.if_else(needed, _joined(_MARK, doubled, _MARK), texts)


def _has_any(texts: Any, characters: bytes) -> bool:
    """Whether a character stands in any text: looked for in all of them at once."""
    content = bytes(_text_of(texts))
    return any(bytes([it]) in content for it in characters)


def _joined(*texts: Any) -> Any:
    """Texts one behind the other, row by row."""
    return pc.binary_join_element_wise(*texts, _NOTHING)


_HELD: Final[Mapping[str, Callable[[Any], None]]] = {
    PARQUET: _hold_in_parquet,
    CSV: _hold_in_csv,
    ARROW: lambda _: None,
}
_FILES: Final = {
    PARQUET: _parquet,
    ARROW: pa.ipc.new_file,
    CSV: _Csv,
}
