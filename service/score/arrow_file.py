"""An Arrow file (IPC, Feather 2): pieces are record batches."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from service.score.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.score.places import Place
    from service.score.tables import Limits

MAGIC: Final = b"ARROW1"
STREAM: Final = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class ArrowFile:
    """An Arrow file; see ``tables.TableFile``.

    Attributes:
        place: Where it is.
        schema: Its columns.
        batch_rows: Rows of each record batch.
    """

    place: Place
    schema: Any
    batch_rows: tuple[int, ...]

    @classmethod
    def of(cls, place: Place) -> ArrowFile:
        """Read its footer.

        Raises:
            TableError: It has none.
        """
        try:
            with _opened(place) as file:
                schema = file.schema
                # Without columns: a batch's number of rows stands in its head.
                only = pa.ipc.IpcReadOptions(included_fields=[0] if schema.names else [])
            with _opened(place, only) as file:
                counts = range(file.num_record_batches)
                rows = tuple(file.get_batch(it).num_rows for it in counts)
                return cls(place, schema.remove_metadata(), rows)
        except pa.ArrowException as error:
            raise TableError(f"{place} is not an Arrow file: {error}") from error

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(self.batch_rows)

    @property
    def size(self) -> int:
        """The same."""
        return self.rows

    def pieces(self, limits: Limits) -> Iterator[tuple[int, int, int]]:
        """As many batches as make a unit, at least one; see ``tables.TableFile``."""
        start = rows = 0
        for batch, here in enumerate(self.batch_rows):
            if rows and rows + here > limits.rows:
                yield start, batch, rows
                start, rows = batch, 0
            rows += here
        if rows:
            yield start, len(self.batch_rows), rows

    def read(self, start: int, stop: int, wanted: Sequence[str], rows: int) -> Iterator[Any]:
        """Read record batches; see ``tables.TableFile``."""
        fields = [self.schema.get_field_index(it) for it in wanted]
        options = pa.ipc.IpcReadOptions(included_fields=sorted(fields), use_threads=False)
        try:
            with _opened(self.place, options) as file:
                for number in range(start, stop):
                    batch = file.get_batch(number)
                    for first in range(0, batch.num_rows, rows):
                        yield batch.slice(first, rows)
        except (pa.ArrowException, OSError) as error:
            raise TableError(
                f"{self.place}, batches {start} to {stop - 1}, cannot be read: {error}"
            ) from error


@contextlib.contextmanager
def _opened(place: Place, options: Any = None) -> Iterator[Any]:
    """The file; on this machine it is mapped, so that only what is read is loaded."""
    source = pa.memory_map(place.path) if place.is_local else pa.PythonFile(place.open(), mode="r")
    with source, pa.ipc.open_file(source, options=options) as file:
        yield file
