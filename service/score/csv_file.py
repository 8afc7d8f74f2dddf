"""A CSV file in UTF-8: pieces are runs of bytes that end where a record ends.

Fields are read as texts, and passed on as they are. A record with too few or too many
fields is kept, with what is lacking missing and what is too much dropped.
"""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyarrow import csv as arrow_csv

from service.score.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.score.places import Place
    from service.score.tables import Limits

_MARK: Final = b"\xef\xbb\xbf"  # a byte-order mark
_DELIMITERS: Final = ",;\t"
_QUOTE: Final = b'"'
_LINE_END: Final = b"\n"
_HEADER_BYTES: Final = 2**20
# How far a record's end is looked for at once.
_STEP_BYTES: Final = 2**16


@dataclass(frozen=True)
class CsvFile:
    """A CSV file; see ``tables.TableFile``.

    Attributes:
        place: Where it is.
        names: Its columns.
        delimiter: What stands between fields.
        begin: Where the first record after the header begins.
        end: Bytes of the file.
    """

    place: Place
    names: tuple[str, ...]
    delimiter: str
    begin: int
    end: int

    @classmethod
    def of(cls, place: Place) -> CsvFile:
        """Read its header.

        Raises:
            TableError: It has none that could be one.
        """
        head = place.read(0, _HEADER_BYTES)
        size = place.size()
        begin = _end_in(head, quoted=False)
        if begin is None:
            if size > _HEADER_BYTES:
                raise TableError(f"{place} is no CSV: its first line does not end")
            begin = len(head)
        text = _header_text(place, head[:begin].removeprefix(_MARK))
        delimiter = max(_DELIMITERS, key=text.count)
        names = _header(place, text, delimiter)
        return cls(place, tuple(it.strip() for it in names), delimiter, begin, size)

    @property
    def schema(self) -> Any:
        """Its columns, all texts."""
        return pa.schema([(it, pa.string()) for it in self.names])

    @property
    def rows(self) -> None:
        """Nothing says how many rows there are."""

    @property
    def size(self) -> int:
        """Bytes after the header."""
        return self.end - self.begin

    def pieces(self, limits: Limits) -> Iterator[tuple[int, int, int]]:
        """Bytes that begin and end with a record; see ``tables.TableFile``."""
        start = self.begin
        with self.place.open() as file:
            file.seek(start)
            while start < self.end:
                stop = _next_end(file, start + limits.bytes, start)
                yield start, stop, stop - start
                start = stop

    def read(self, start: int, stop: int, wanted: Sequence[str], rows: int) -> Iterator[Any]:
        """Read records; see ``tables.TableFile``."""
        try:
            content = self.place.read(start, stop)
            table = self._parsed(content, wanted)
        except OSError as error:
            raise TableError(f"{self.place} cannot be read: {error.strerror or error}") from error
        del content
        yield from table.to_batches(max_chunksize=rows)

    def _parsed(self, content: bytes, wanted: Sequence[str]) -> Any:
        types = dict.fromkeys(wanted, pa.string())
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(content),
                arrow_csv.ReadOptions(
                    use_threads=False, column_names=self.names, block_size=len(content) + 1
                ),
                arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                arrow_csv.ConvertOptions(
                    column_types=types, include_columns=list(wanted), strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid:
            return self._parsed_leniently(content, wanted)
        return table.combine_chunks()

    def _parsed_leniently(self, content: bytes, wanted: Sequence[str]) -> Any:
        """Records of any number of fields, bytes that are no UTF-8 replaced."""
        text = content.decode(errors="replace")
        records = [it for it in _records(io.StringIO(text, newline=""), self.delimiter) if it]
        places = [self.names.index(it) for it in wanted]
        columns = [[it[place] if place < len(it) else "" for it in records] for place in places]
        return pa.table([pa.array(it, pa.string()) for it in columns], list(wanted))


def _records(lines: io.StringIO, delimiter: str) -> Iterator[list[str]]:
    """Records with fields of any length, as Arrow reads them."""
    csv.field_size_limit(sys.maxsize)
    return csv.reader(lines, delimiter=delimiter)


def _header(place: Place, text: str, delimiter: str) -> list[str]:
    try:
        return next(_records(io.StringIO(text), delimiter), [])
    except csv.Error as error:
        raise TableError(
            f"{place} is no CSV: its first line has a carriage return without a line feed"
        ) from error


def _header_text(place: Place, line: bytes) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise TableError(f"{place} is neither Parquet nor Arrow nor CSV in UTF-8")
    return text


def _next_end(file: Any, target: int, start: int) -> int:
    """Where the first record at or after a place ends, or the file.

    Args:
        file: The file, which stands at ``start``; afterwards where the record ends.
        target: The place.
        start: Where a record begins.
    """
    quoted = False
    place = start
    while place < target:
        content = file.read(min(2**22, target - place))
        if not content:
            return place
        quoted ^= bool(content.count(_QUOTE) % 2)
        place += len(content)
    while True:
        content = file.read(_STEP_BYTES)
        if not content:
            return place
        found = _end_in(content, quoted=quoted)
        if found is not None:
            file.seek(place + found)
            return place + found
        quoted ^= bool(content.count(_QUOTE) % 2)
        place += len(content)


def _end_in(content: bytes, *, quoted: bool) -> int | None:
    """Where the first record ends in some bytes; None if not in them."""
    place = 0
    while True:
        end = content.find(_LINE_END, place)
        if end < 0:
            return None
        quoted ^= bool(content.count(_QUOTE, place, end) % 2)
        place = end + 1
        if not quoted:
            return place
