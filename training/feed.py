"""The training rows of a table that does not fit into memory, as a file of numbers.

Text takes several times the room and is slow to read, so each row is written once as the
network reads it. An epoch reads the file in blocks: blocks in a drawn order, and within a
block the rows in a drawn order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

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
    """

    path: Path
    features: int
    rows: int
    watched: Rows

    @property
    def lengths(self) -> list[int]:
        """Rows of each block, in the order of the file."""
        whole, rest = divmod(self.rows, BLOCK_ROWS)
        return [BLOCK_ROWS] * whole + [rest] * (rest > 0)

    def block(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Read a block.

        Args:
            number: From 0, in the order of the file.

        Returns:
            Batch ``[n, features]`` and target ``[n]``.
        """
        width = self.features + 1
        start, count = number * BLOCK_ROWS, self.lengths[number]
        with self.path.open("rb") as file:
            file.seek(start * width * np.dtype(np.float64).itemsize)
            values = np.fromfile(file, np.float64, count * width).reshape(count, width)
        return values[:, :-1].astype(np.float32), values[:, -1].copy()


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

    @property
    def rows(self) -> pd.DataFrame:
        """Those that are kept, in the order of the table."""
        return self._kept
