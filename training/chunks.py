"""A table in chunks of rows, from CSV or Parquet, so that it need not fit into memory."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from training.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ROWS: Final = 5_000
_PARQUET: Final = b"PAR1"  # what such a file begins with
_DELIMITERS: Final = ",;\t"


@dataclass(frozen=True)
class Part:
    """One of some parts of a table; every row is in one of them.

    Attributes:
        index: Its number, from 0.
        count: How many parts there are.
    """

    index: int = 0
    count: int = 1


WHOLE: Final = Part()


class Source(Protocol):
    """A table on the disk.

    Attributes:
        place: What the index of a chunk counts: ``line`` or ``row``.
        names: The columns' names, in order.
    """

    @property
    def place(self) -> str: ...  # noqa: D102 - above

    @property
    def names(self) -> list[str]: ...  # noqa: D102 - above

    def chunks(self, wanted: Sequence[str], part: Part = WHOLE) -> Iterator[pd.DataFrame]:
        """Read some columns.

        Args:
            wanted: Their names.
            part: Which rows.

        Yields:
            Chunks of rows. A column holds numbers, or texts as they are written, empty where
            nothing is. The index is the place where an editor shows the row, from 1.

        Raises:
            TableError: The table cannot be read on.
        """


def source(path: Path) -> Source:
    """Open a table: Parquet if it begins like that, else CSV.

    Raises:
        TableError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            is_parquet = file.read(len(_PARQUET)) == _PARQUET
        return _parquet(path) if is_parquet else _csv(path)
    except OSError as error:
        raise TableError(str(path), [f"{error.strerror or error}"]) from error


@dataclass(frozen=True)
class Csv:
    """A CSV file in UTF-8, its columns' names on the first line.

    Lines are found by reading, so that whoever wants a part reads all, and takes every so
    manieth chunk.
    """

    path: Path
    names: list[str]
    delimiter: str
    place: str = "line"

    def chunks(self, wanted: Sequence[str], part: Part = WHOLE) -> Iterator[pd.DataFrame]:
        """See ``Source``; lines without any value are passed over."""
        line = 1
        try:
            for number, texts in enumerate(_read_csv(self.path, self.delimiter, _ROWS)):
                filled = texts.fillna("")
                starts = line + np.arange(len(filled) + 1) + _line_ends(filled)
                line, filled.index = int(starts[-1]), pd.Index(starts[:-1])
                if number % part.count == part.index:
                    yield from self._chunk(filled, wanted)
        except (pd.errors.ParserError, UnicodeDecodeError) as error:
            raise TableError(str(self.path), [not_csv(error)]) from error

    def _chunk(self, filled: pd.DataFrame, wanted: Sequence[str]) -> Iterator[pd.DataFrame]:
        filled.columns = pd.Index(self.names)
        rows = filled[(filled != "").any(axis="columns") & (filled.index > 1)]
        if len(rows):
            yield rows[list(wanted)]


@dataclass(frozen=True)
class Parquet:
    """A Parquet file, read a row group at a time.

    A part is rows that follow each other, as many as of any other part. Of all row groups,
    those that hold some of them are read.
    """

    path: Path
    names: list[str]
    file: Any
    place: str = "row"

    def chunks(self, wanted: Sequence[str], part: Part = WHOLE) -> Iterator[pd.DataFrame]:
        """See ``Source``."""
        rows = self.file.metadata.num_rows
        first, end = (rows * it // part.count for it in (part.index, part.index + 1))
        groups, row = self._groups(first, end)
        for batch in self.file.iter_batches(_ROWS, row_groups=groups, columns=list(wanted)):
            kept = batch[max(first - row, 0) : max(end - row, 0)].to_pandas()
            if len(kept):
                columns = {name: _plain(kept[name]) for name in wanted}
                start = max(first, row) + 1
                index = pd.RangeIndex(start, start + len(kept))
                yield pd.DataFrame(columns, index=kept.index).set_axis(index)
            row += len(batch)

    def _groups(self, first: int, end: int) -> tuple[list[int], int]:
        """The row groups that hold some of these rows, and the number of their first row."""
        known = self.file.metadata
        lengths = [known.row_group(it).num_rows for it in range(known.num_row_groups)]
        starts = [sum(lengths[:it]) for it in range(len(lengths))]
        found = [
            number
            for number, (start, length) in enumerate(zip(starts, lengths, strict=True))
            if start < end and first < start + length
        ]
        return found, starts[found[0]] if found else 0


def _csv(path: Path) -> Csv:
    try:
        delimiter = _delimiter(path)
        first = next(iter(_read_csv(path, delimiter, 1)))
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise TableError(str(path), [not_csv(error)]) from error
    return Csv(path, [str(name).strip() for name in first.iloc[0].fillna("")], delimiter)


def _parquet(path: Path) -> Parquet:
    try:
        file = parquet.ParquetFile(path)
    except pa.ArrowException as error:
        raise TableError(str(path), [f"it is not Parquet: {error}"]) from error
    return Parquet(path, file.schema_arrow.names, file)


def _delimiter(path: Path) -> str:
    """The most frequent one of the first line."""
    head = pd.read_csv(
        path,
        sep="\x1f",  # no text has it: the line stays whole
        quoting=csv.QUOTE_NONE,
        header=None,
        nrows=1,
        dtype=str,
        encoding="utf-8-sig",
    )
    return max(_DELIMITERS, key=str(head.iloc[0, 0]).count)


def _read_csv(path: Path, delimiter: str, rows: int) -> Iterator[pd.DataFrame]:
    """Chunks of texts, the header among them; NaN where a line is too short."""
    with pd.read_csv(
        path,
        sep=delimiter,
        header=None,
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=False,
        encoding="utf-8-sig",
        chunksize=rows,
    ) as reader:
        yield from reader


def not_csv(error: Exception) -> str:
    """Why pandas could not read a table."""
    if isinstance(error, pd.errors.EmptyDataError):
        return "it is empty"
    reason = str(error).replace("Error tokenizing data. C error: ", "")
    return f"it is not CSV in UTF-8: {reason.strip()}"


def _plain(values: pd.Series[Any]) -> pd.Series[Any]:
    """A column of Parquet as numbers, or as texts."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.astype("Float64").astype(float)
    return values.astype(object).map(_text, na_action=None)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return "" if value is None or value is pd.NaT or value != value else str(value)  # noqa: PLR0124 - NaN alone


def _line_ends(texts: pd.DataFrame) -> Any:
    """For each row and the one after the last, how many line ends stand in quotes before it."""
    ends = np.zeros(len(texts) + 1, int)
    for name in texts:
        column = texts[name]
        if "\n" in "".join(column):
            ends[1:] += column.str.count("\n").cumsum().to_numpy()
    return ends
