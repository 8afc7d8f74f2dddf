"""The tables that are scored: which files, of which format, cut into units of work.

A unit is what is read, priced and written as one: a few row groups of a Parquet file, a few
batches of an Arrow file, some bytes of a CSV file that end where a record ends.
"""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from service.score import arrow_file, csv_file, parquet_file
from service.score.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.score.places import Place

CSV: Final = "csv"
PARQUET: Final = "parquet"
ARROW: Final = "arrow"
FORMATS: Final = (PARQUET, CSV, ARROW)

# What a format's files are called.
NAMED: Final = {
    ".parquet": PARQUET, ".pq": PARQUET, ".csv": CSV, ".arrow": ARROW, ".feather": ARROW,
    ".ipc": ARROW,
}  # fmt: skip

_HEAD: Final = 8
_GZIP: Final = b"\x1f\x8b"


class TableFile(Protocol):
    """A file of a table; small, so that it may be sent to another process.

    Attributes:
        place: Where it is.
        schema: Its columns, as Arrow has them.
        rows: How many rows there are; None where nothing says so.
        size: What its pieces count: rows, or bytes where rows are not known.
    """

    @property
    def place(self) -> Place: ...  # noqa: D102 - above
    @property
    def schema(self) -> Any: ...  # noqa: D102 - above
    @property
    def rows(self) -> int | None: ...  # noqa: D102 - above
    @property
    def size(self) -> int: ...  # noqa: D102 - above

    def pieces(self, limits: Limits) -> Iterator[tuple[int, int, int]]:
        """Cut it.

        Args:
            limits: How large a piece may be.

        Yields:
            Where each piece begins and ends, and how much of ``size`` it is.
        """

    def read(self, start: int, stop: int, wanted: Sequence[str], rows: int) -> Iterator[Any]:
        """Read a piece.

        Args:
            start: Where it begins.
            stop: Where it ends.
            wanted: The columns.
            rows: How many rows to give at once, at most.

        Yields:
            Arrow record batches.

        Raises:
            TableError: It cannot be read.
        """


@dataclass(frozen=True)
class Limits:
    """How large units are.

    Attributes:
        rows: Rows of a unit where rows are counted.
        bytes: Bytes of a unit where bytes are.
        batch_rows: Rows that are in memory at once.
        group_bytes: Bytes that are held until they are written.
    """

    rows: int
    bytes: int
    batch_rows: int
    group_bytes: int = 0


@dataclass(frozen=True)
class Unit:
    """What is read, priced and written as one.

    Attributes:
        number: Its place in the table, from 0.
        file_number: Which file, from 0.
        file: That file.
        start: Where it begins.
        stop: Where it ends.
        size: How much of the file's ``size`` it is.
    """

    number: int
    file_number: int
    file: TableFile
    start: int
    stop: int
    size: int


@dataclass(frozen=True)
class Table:
    """A table in one file or in several.

    Attributes:
        files: They, in order.
        format: One of ``FORMATS``.
    """

    files: tuple[TableFile, ...]
    format: str

    @property
    def places(self) -> list[Place]:
        """Where the files are."""
        return [it.place for it in self.files]

    @property
    def is_local(self) -> bool:
        """Whether it lies on a disk of this machine."""
        return self.files[0].place.is_local

    @property
    def schema(self) -> Any:
        """The columns of the first file, which the others have too."""
        return self.files[0].schema

    @property
    def rows(self) -> int | None:
        """How many rows there are; None where nothing says so."""
        counts = [it.rows for it in self.files]
        return sum(it for it in counts if it is not None) if None not in counts else None

    @property
    def size(self) -> int:
        """What the units' sizes add up to."""
        return sum(it.size for it in self.files)

    def mark(self) -> str:
        """A text that is another when a file's content is.

        Raises:
            OSError: A file is gone.
        """
        digest = hashlib.sha256()
        for it in self.places:
            digest.update(f"{it.path} {it.mark()}\n".encode())
        return digest.hexdigest()

    def units(self, limits: Limits) -> Iterator[Unit]:
        """Cut it into units, in the order of its rows."""
        number = 0
        for file_number, file in enumerate(self.files):
            for start, stop, size in file.pieces(limits):
                yield Unit(number, file_number, file, start, stop, size)
                number += 1


def open_table(place: Place) -> Table:
    """Find the files of a table.

    Args:
        place: A file, a folder with files in any depth, or a pattern with ``*``. Names that
            begin with ``_`` or ``.`` are passed over, and where some end as a table's does,
            those that end otherwise.

    Raises:
        TableError: There is none, they are of several formats, or one cannot be read.
    """
    try:
        places = _of_tables([it for it in place.files() if not _is_hidden(it, place)])
        if not places:
            what = "holds no table" if place.exists() else "is not there"
            raise TableError(f"{place} {what}")
        opened = [_open_file(it) for it in places]
    except OSError as error:
        raise TableError(f"{place} cannot be read: {error.strerror or error}") from error
    formats = dict(opened)
    if len(formats) > 1:
        named = " and ".join(f"{form} ({file.place})" for form, file in sorted(formats.items()))
        raise TableError(f"{place} holds files of several formats: {named}")
    return Table(tuple(file for _, file in opened), opened[0][0])


def _of_tables(places: list[Place]) -> list[Place]:
    """The files whose names end as a table's; all where none does."""
    return [it for it in places if posixpath.splitext(it.name)[1].lower() in NAMED] or places


def _is_hidden(place: Place, root: Place) -> bool:
    below = place.path.removeprefix(root.path).split("/") if root.contains(place) else [place.name]
    return any(it.startswith(("_", ".")) for it in below)


def _open_file(place: Place) -> tuple[str, TableFile]:
    head = place.read(0, _HEAD)
    if not head:
        raise TableError(f"{place} is empty")
    if head.startswith(parquet_file.MAGIC):
        return PARQUET, parquet_file.ParquetFile.of(place)
    if head.startswith(arrow_file.MAGIC):
        return ARROW, arrow_file.ArrowFile.of(place)
    if head.startswith(arrow_file.STREAM):
        raise TableError(
            f"{place} is an Arrow stream, which can be read from its beginning alone: "
            "write it as an Arrow file, or as Parquet"
        )
    if head.startswith(_GZIP):
        raise TableError(f"{place} is packed: unpack it first, so that it can be read in parts")
    return CSV, csv_file.CsvFile.of(place)
