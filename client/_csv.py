"""CSV files as they are: a record keeps its text, and gains a field at its end.

Python's ``csv`` finds the records and their fields; the text itself is passed on
untouched, with its quotes, spaces and line ends. Files are UTF-8; bytes that are not are
passed on as they are.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINE_END: Final = "\r\n"


class TableError(Exception):
    """A file is not a table that can be priced; the message names file and line."""


@dataclass(frozen=True)
class Record:
    """One record of a CSV file.

    Attributes:
        text: As it stands in the file, with its line end, and blank lines before it.
        fields: What it holds.
        line: The number of its first line, from 1.
    """

    text: str
    fields: list[str]
    line: int

    @property
    def body(self) -> str:
        """The text without its line end."""
        return self.text.rstrip(_LINE_END)

    @property
    def line_end(self) -> str:
        """The line end; empty where the file ends without one."""
        return self.text[len(self.body) :]


def decoded(file: BinaryIO) -> io.TextIOWrapper:
    """Read bytes as CSV text: UTF-8, a byte-order mark dropped, line ends as they are."""
    return io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")


def encoded(text: str) -> bytes:
    """The bytes of CSV text."""
    return text.encode("utf-8", "surrogateescape")


def records(lines: Iterable[str], name: str) -> Iterator[Record]:
    """Split a CSV file into records.

    Args:
        lines: Its lines, with their ends.
        name: What errors call the file.

    Yields:
        Its records. Blank lines belong to the record after them.

    Raises:
        TableError: The quotes do not match.
    """
    raw: list[str] = []

    def kept() -> Iterator[str]:
        for text in lines:
            raw.append(text)
            yield text

    reader = csv.reader(kept(), strict=True)
    line = 1
    try:
        for fields in reader:
            if fields:
                yield Record("".join(raw), fields, line)
                raw.clear()
            line = reader.line_num + 1
    except csv.Error as error:
        raise TableError(f"{name}, line {line}: {error}") from error
