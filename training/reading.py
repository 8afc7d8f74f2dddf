"""The table of an order: read, checked and split; and what a run on it is made from.

Heavy libraries are imported when a table is read: whether a run must be made at all is known
without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from training import fingerprint, publish
from training.errors import TableError

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path
    from typing import TextIO

    from training.engine.group import Group
    from training.flags import Order
    from training.own import Found
    from training.table import Table

# Where nobody sets a width, a log's lines may be longer than the 80 of old terminals.
_LOG_WIDTH: Final = 120


def fingerprint_of(order: Order) -> fingerprint.Fingerprint:
    """What a run would be made from.

    Raises:
        OSError: The table, or what describes it, cannot be read.
    """
    described = b"" if order.columns is None else order.columns.read_bytes()
    workers = 1 if order.cluster is None else len(order.cluster.tasks)
    return fingerprint.take(
        order.recipe, order.data, described, streamed=_streams(order), workers=workers
    )


def _streams(order: Order) -> bool:
    if order.cluster is not None:
        return True
    return bool(order.recipe.target) and order.data.stat().st_size >= order.stream_mb * 10**6


def read(
    order: Order, stack: ExitStack, output: TextIO | None = None, group: Group | None = None
) -> Table:
    """Read, check and split an order's table.

    Args:
        order: Says which, and which rows test.
        stack: Removes at its end what a table that streams has on the disk.
        output: Where to show what was found out about a table of one's own; None for nowhere.
        group: The processes that read it together, each a part; None for one.

    Raises:
        TableError: It cannot be used.
        PublishError: The models folder cannot be written.
    """
    from training import table  # noqa: PLC0415

    if not order.recipe.target:
        return table.boston(_content(order.data), str(order.data), order.recipe)
    from training import own  # noqa: PLC0415
    from training.engine.group import ALONE  # noqa: PLC0415

    place = own.Place(order.data, b"" if order.columns is None else _content(order.columns))
    if not _streams(order):
        found = own.read(place, order.recipe)
    else:
        if output is not None:
            output.write(f"{order.data} streams: {_why(order)}.\n")
        folder = stack.enter_context(publish.hidden_folder(order.models))
        found = own.stream(place, order.recipe, folder, group or ALONE)
    if output is not None:
        _show(found, output)
    return found[0]


def _why(order: Order) -> str:
    if order.cluster is not None:
        return f"{len(order.cluster.tasks)} workers read it, each its own rows"
    return f"it has at least --stream_mb {order.stream_mb} MB"


def _show(found: tuple[Table, Found], output: TextIO) -> None:
    from rich.console import Console  # noqa: PLC0415

    from training import inference  # noqa: PLC0415

    console = Console(file=output)
    wide = console if console.is_terminal else Console(file=output, width=_LOG_WIDTH)
    inference.show(found[1], found[0], wide)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TableError(str(path), [f"{error.strerror}"]) from error
