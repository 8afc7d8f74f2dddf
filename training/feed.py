"""The training rows of a table that does not fit into memory, as a file of numbers.

Text takes several times the room and is slow to read, so each row is written once as the
network reads it. An epoch reads the file in blocks: blocks in a drawn order, and within a
block the rows in a drawn order.

Of processes that train together each has a file of its own rows. A block then is a stretch of
every file, in the order of the processes, all stretches of a file being as long, but for a row.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from training.engine.group import ALONE, exchange

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.engine.group import Group
    from training.engine.stack import Checkpoints
    from training.split import Rows

BLOCK_ROWS: Final = 32_768


@dataclass(frozen=True)
class Feed:
    """Rows in a file.

    Attributes:
        path: The file: rows one after another, each the features and the target, float64.
        features: How many features a row has.
        rows: How many rows there are.
        watched: Other rows, in memory, to measure on after each epoch.
        group: The processes that train together.
        counts: How many rows each of them has; nothing of one alone.
        checkpoints: Where the training is kept after each epoch; None for nowhere.
    """

    path: Path
    features: int
    rows: int
    watched: Rows
    group: Group = ALONE
    counts: tuple[int, ...] = ()
    checkpoints: Checkpoints | None = None

    @property
    def lengths(self) -> list[int]:
        """Rows of each block, in the order of the file; those of all processes."""
        if self.group.size == 1:
            whole, rest = divmod(self.rows, BLOCK_ROWS)
            return [BLOCK_ROWS] * whole + [rest] * (rest > 0)
        return [sum(map(len, self._stretches(number))) for number in range(self._blocks)]

    def own(self, number: int) -> slice:
        """Which rows of a block are in this process's file."""
        if self.group.size == 1:
            return slice(0, self.lengths[number])
        stretches = self._stretches(number)
        start = sum(map(len, stretches[: self.group.index]))
        return slice(start, start + len(stretches[self.group.index]))

    def block(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Read a block, or what of it is in this process's file.

        Args:
            number: From 0, in the order of the file.

        Returns:
            Batch ``[n, features]`` and target ``[n]``.
        """
        width = self.features + 1
        start, count = self._place(number)
        with self.path.open("rb") as file:
            file.seek(start * width * np.dtype(np.float64).itemsize)
            values = np.fromfile(file, np.float64, count * width).reshape(count, width)
        return values[:, :-1].astype(np.float32), values[:, -1].copy()

    def _place(self, number: int) -> tuple[int, int]:
        """The first row of a block in this process's file, and how many follow."""
        if self.group.size == 1:
            return number * BLOCK_ROWS, self.lengths[number]
        stretch = self._stretches(number)[self.group.index]
        return stretch.start, len(stretch)

    @property
    def _blocks(self) -> int:
        return -(-sum(self.counts) // BLOCK_ROWS)

    def _stretches(self, number: int) -> list[range]:
        """The rows of every process's file that are in a block."""
        blocks = self._blocks
        return [range(it * number // blocks, it * (number + 1) // blocks) for it in self.counts]


class Writer:
    """Writes rows to a file, chunk by chunk.

    Args:
        path: The file; what is there is lost.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.rows = 0

    def add(self, rows: NDArray[np.float64]) -> None:
        """Write rows ``[n, features + 1]``, the target last."""
        np.ascontiguousarray(rows, np.float64).tofile(self._file)
        self.rows += len(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


class Sample:
    """So many rows of a stream, each as likely as any other.

    Args:
        size: How many.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._keys: NDArray[np.float64] = np.empty(0)
        self._kept = pd.DataFrame()

    def add(self, rows: pd.DataFrame, keys: NDArray[np.float64]) -> None:
        """Look at some more.

        Args:
            rows: Of them; a column that is not there any more is dropped from all.
            keys: A random number for each; those with the least are kept.
        """
        if len(self._keys) == self._size:
            near = keys < self._keys.max()
            rows, keys = rows[near], keys[near]
        before = [self._kept] if len(self._keys) else []
        keys = np.concatenate([self._keys, keys])
        nearest = np.sort(np.argsort(keys, kind="stable")[: self._size])
        self._kept = pd.concat([*before, rows], join="inner").iloc[nearest]
        self._keys = keys[nearest]

    def joined(self, group: Group) -> Sample:
        """The sample of all rows that the processes of a group looked at."""
        if group.size == 1:
            return self
        told = [_TOLD.decode(it) for it in exchange(group, self._told())]
        whole = Sample(self._size)
        frames = [frame for frame in (_frame(it) for _, it in told) if len(frame)]
        if frames:
            rows = pd.concat(frames, join="inner")
            order = np.argsort(rows.index.to_numpy())
            whole.add(
                rows.iloc[order], np.concatenate([np.frombuffer(it) for it, _ in told])[order]
            )
        return whole

    def _told(self) -> bytes:
        content, table = io.BytesIO(), pa.Table.from_pandas(self._kept)
        with pa.ipc.new_stream(content, table.schema) as stream:
            stream.write_table(table)
        return msgspec.msgpack.encode((self._keys.tobytes(), content.getvalue()))

    @property
    def rows(self) -> pd.DataFrame:
        """Those that are kept, in the order of the table."""
        return self._kept


_TOLD: Final = msgspec.msgpack.Decoder(tuple[bytes, bytes])


def _frame(content: bytes) -> pd.DataFrame:
    with pa.ipc.open_stream(content) as stream:
        frame: pd.DataFrame = stream.read_pandas()
    return frame
