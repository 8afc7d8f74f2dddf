"""A Parquet file: pieces are row groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyarrow import parquet

from service.score.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.score.places import Place
    from service.score.tables import Limits

MAGIC: Final = b"PAR1"
# Bytes of a column that are read at once: a whole row group of it may not fit into memory.
_BUFFER_BYTES: Final = 2**20
# The same from an object store, where each reading costs a round trip.
_REMOTE_BUFFER_BYTES: Final = 2**23


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file; see ``tables.TableFile``.

    Attributes:
        place: Where it is.
        schema: Its columns.
        group_rows: Rows of each row group.
    """

    place: Place
    schema: Any
    group_rows: tuple[int, ...]

    @classmethod
    def of(cls, place: Place) -> ParquetFile:
        """Read its footer.

        Raises:
            TableError: It has none.
        """
        try:
            with _opened(place) as file:
                found = file.metadata
                groups = tuple(found.row_group(it).num_rows for it in range(found.num_row_groups))
                return cls(place, file.schema_arrow.remove_metadata(), groups)
        except pa.ArrowException as error:
            raise TableError(f"{place} is not Parquet: {error}") from error

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(self.group_rows)

    @property
    def size(self) -> int:
        """The same."""
        return self.rows

    def pieces(self, limits: Limits) -> Iterator[tuple[int, int, int]]:
        """As many row groups as make a unit, at least one; see ``tables.TableFile``."""
        start = rows = 0
        for group, here in enumerate(self.group_rows):
            if rows and rows + here > limits.rows:
                yield start, group, rows
                start, rows = group, 0
            rows += here
        if rows:
            yield start, len(self.group_rows), rows

    def read(self, start: int, stop: int, wanted: Sequence[str], rows: int) -> Iterator[Any]:
        """Read row groups; see ``tables.TableFile``."""
        try:
            with _opened(self.place) as file:
                yield from file.iter_batches(
                    rows, row_groups=range(start, stop), columns=list(wanted), use_threads=False
                )
        except (pa.ArrowException, OSError) as error:
            raise TableError(
                f"{self.place}, row groups {start} to {stop - 1}, cannot be read: {error}"
            ) from error


def _opened(place: Place) -> Any:
    options = {"pre_buffer": False, "buffer_size": _BUFFER_BYTES}
    if place.is_local:
        return parquet.ParquetFile(place.path, **options)
    options["buffer_size"] = _REMOTE_BUFFER_BYTES
    return parquet.ParquetFile(place.open(), **options)
