"""Prices the records of a table, chunk by chunk."""

from __future__ import annotations

import itertools
import math
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from client._contract import MISSING
from client._csv import TableError, encoded, records
from client._errors import HearthError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from io import TextIOWrapper

    from client._client import Client
    from client._contract import Contract, Feature
    from client._csv import Record
    from client._houses import Row
    from client._progress import Progress


class Pricer:
    """Prices the records of one table.

    Args:
        client: Asks one version of the model.
        contract: That version's.
        name: What errors call the file.
        header: The table's first record.
        level: Of the intervals to give besides; None for prices alone.

    Raises:
        TableError: A column is missing, or there twice, or prices are there already.
    """

    def __init__(
        self,
        client: Client,
        contract: Contract,
        name: str,
        header: Record,
        level: float | None = None,
    ) -> None:
        self._client = client
        self._level = level
        self._name = name
        self._width = len(header.fields)
        self._line_end = header.line_end or "\n"
        columns = [field.strip() for field in header.fields]
        try:
            contract.check_columns(columns, bounded=level is not None)
        except InvalidRequest as error:
            raise TableError(f"{name}: {error.message}") from error
        self._features = [(it, columns.index(it.name)) for it in contract.features]
        self._plain = not any(it.is_category or it.is_optional for it in contract.features)
        self._outputs = contract.outputs(bounded=level is not None)
        self.header = self.extended(header, self._outputs)

    def extended(self, record: Record, fields: Iterable[str]) -> str:
        """A record's text with more fields."""
        return f"{record.body},{','.join(fields)}{record.line_end or self._line_end}"

    def price(self, chunk: list[Record], first: int) -> str:
        """Price some records.

        Args:
            chunk: The records.
            first: How many rows stand before them in the table.

        Returns:
            Their text, each with its price.

        Raises:
            TableError: A record has more or fewer fields than the header, or no number
                where a feature is.
            HearthError: The server refused, or did not answer.
        """
        rows: list[Row] = [self._row(record) for record in chunk]
        try:
            prices = self._price(rows, first)
        except HearthError as error:
            if error.row is not None:
                place = f"{self._name}, line {chunk[error.row - first].line}"
                error.message = f"{place}: {error.message}"
            raise
        priced = zip(chunk, prices, strict=True)
        return "".join(self.extended(record, map(repr, it)) for record, it in priced)

    def is_priced(self, done: Record, record: Record) -> bool:
        """Whether a record of an output is this one, complete with its price."""
        fields = done.fields[-len(self._outputs) :]
        return done.text == self.extended(record, fields) and all(map(_is_number, fields))

    def _price(self, rows: list[Row], first: int) -> Sequence[tuple[float, ...]]:
        """What each row gains, in order."""
        if self._level is not None:
            return self._client.predict_intervals(rows, self._level, first=first)
        return [(it,) for it in self._client.predict_rows(rows, first=first)]

    def _row(self, record: Record) -> Row:
        place = f"{self._name}, line {record.line}"
        if len(record.fields) != self._width:
            raise TableError(f"{place}: {len(record.fields)} fields, the header has {self._width}")
        values = {
            it.name: _value(record.fields[index], it, f"{place}, column {it.name}")
            for it, index in self._features
        }
        # Names tell a category that is written as a number from the number of a category.
        return list(values.values()) if self._plain else values


class Run:
    """One run over a table: what is still to be read, and how it is priced.

    Args:
        client: Asks one version of the model.
        source: The table, as ``decoded`` gives it.
        name: What errors call it.
        level: Of the intervals to give besides; None for prices alone.

    Attributes:
        rows: The records that are still to be priced.
        pricer: Prices them.
        size: Bytes of the table; None where they are not known.

    Raises:
        TableError: The table is empty, or lacks a column.
        HearthError: The server did not tell its contract.
    """

    def __init__(
        self, client: Client, source: TextIOWrapper, name: str, level: float | None = None
    ) -> None:
        self._source = source
        self._chunk_rows = client.chunk_rows
        self.rows = records(source, name)
        header = next(self.rows, None)
        if header is None:
            raise TableError(f"{name} is empty: a table begins with the names of its columns")
        self.pricer = Pricer(client, client.contract(), name, header, level)
        self.size = _size(source)

    def write(self, sink: BinaryIO, done: int, progress: Progress) -> int:
        """Price the records that are left, and write each chunk as soon as it is priced.

        Args:
            sink: Where they go.
            done: How many rows are written already.
            progress: Is told after each chunk.

        Returns:
            How many rows are written then.

        Raises:
            TableError, HearthError: A record cannot be priced; the chunks before it are
                written.
        """
        while chunk := list(itertools.islice(self.rows, self._chunk_rows)):
            sink.write(encoded(self.pricer.price(chunk, done)))
            sink.flush()
            done += len(chunk)
            progress.show(done, self._position())
        return done

    def _position(self) -> int:
        return os.lseek(self._source.fileno(), 0, os.SEEK_CUR) if self.size else 0


def _size(source: TextIOWrapper) -> int | None:
    try:
        status = os.fstat(source.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _value(text: str, feature: Feature, place: str) -> float | str | None:
    """A field as the service takes it; None is missing.

    Raises:
        TableError: It is none of its column, or missing where it may not be.
    """
    stripped = text.strip()
    if stripped in MISSING and (feature.is_optional or feature.is_category):
        if not feature.is_optional:
            raise TableError(f"{place}: {text!r} is missing, which it may not be")
        return None
    return stripped if feature.is_category else _number(text, place)


def _number(text: str, place: str) -> float:
    if not text.strip():
        raise TableError(f"{place} is empty")
    if not _is_number(text):
        raise TableError(f"{place}: {text!r} is not a finite number")
    return float(text)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and "_" not in text  # Python's own digit grouping
    except ValueError:
        return False
