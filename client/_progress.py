"""How far a table is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

_ROWS_A_LINE: Final = 100_000


class Progress(Protocol):
    """Shows how far the work is, from entering it to leaving it."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...
    def show(self, rows: int, position: int) -> None:
        """So many rows are priced, and so many bytes of the input read."""


class Bar:
    """A bar, for terminals.

    Args:
        name: What is being worked on.
        size: Bytes of the input; None where they are not known.
        stream: The terminal.
    """

    def __init__(self, name: str, size: int | None, stream: TextIO) -> None:
        self._bars = _bars(stream)
        self._task = self._bars.add_task(name, total=size, rows="0")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def show(self, rows: int, position: int) -> None:
        """So many rows are priced, and so many bytes of the input read."""
        self._bars.update(self._task, completed=position, rows=f"{rows:,}")


class Lines:
    """A line every 100,000 rows, for logs.

    Args:
        name: What is being worked on.
        size: Bytes of the input; None where they are not known.
        stream: Where the lines go.
    """

    def __init__(self, name: str, size: int | None, stream: TextIO) -> None:
        self._name = name
        self._size = size
        self._stream = stream
        self._next = _ROWS_A_LINE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.flush()

    def show(self, rows: int, position: int) -> None:
        """So many rows are priced, and so many bytes of the input read."""
        if rows < self._next:
            return
        self._next = (rows // _ROWS_A_LINE + 1) * _ROWS_A_LINE
        share = f" ({position / self._size:.0%})" if self._size else ""
        print(f"{self._name}: {rows:,} rows{share}", file=self._stream)


def progress(name: str, size: int | None, stream: TextIO) -> Progress:
    """Progress in the form that suits a stream."""
    return (Bar if stream.isatty() else Lines)(name, size, stream)


def _bars(stream: TextIO) -> Bars:
    from rich.console import Console  # noqa: PLC0415  only terminals pay for it
    from rich.progress import (  # noqa: PLC0415  only terminals pay for it
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]} rows"),
        TimeRemainingColumn(),
        console=Console(file=stream),
    )
