"""Which rows train and which test: the split that Keras ships the data set with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from training.columns import TARGET

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Rows of the table on one side of the split.

    Attributes:
        frame: All columns, ``n`` rows in the order of the split.
        features: The columns that the network reads, in order.
        target: The column that it predicts.
    """

    frame: pd.DataFrame
    features: tuple[str, ...]
    target: str = TARGET.name

    @property
    def batch(self) -> NDArray[np.float32]:
        """What the network reads: ``[n, len(features)]``, each column in its own unit.

        Categories are numbers, and NaN is missing: see ``Column``.
        """
        return self.frame[list(self.features)].to_numpy(np.float32)

    @property
    def prices(self) -> NDArray[np.float64]:
        """What it should answer: ``[n]``, in the target's unit."""
        return self.frame[self.target].to_numpy(np.float64)


@dataclass(frozen=True)
class Split:
    """The rows to train on, and the rows that are held out to test."""

    train: Rows
    test: Rows


def order(rows: int, seed: int) -> NDArray[np.intp]:
    """Shuffle row numbers as Keras does.

    Args:
        rows: How many rows the table has.
        seed: Of the shuffle; 113 in ``keras.datasets.boston_housing``.

    Returns:
        Each of ``0 .. rows - 1`` once: ``[rows]``.
    """
    shuffled = np.arange(rows)
    # The legacy generator, because Keras's split is drawn from it.
    np.random.RandomState(seed).shuffle(shuffled)
    return shuffled


def split(
    frame: pd.DataFrame,
    features: tuple[str, ...],
    seed: int,
    train_share: float,
    target: str = TARGET.name,
) -> Split:
    """Split a table: the first share of the shuffled rows trains, the rest tests.

    Args:
        frame: The table, one row a tract.
        features: The columns that the network reads, in order.
        seed: Of the shuffle.
        train_share: Share of the rows that train, rounded down to whole rows.
        target: The column that it predicts.
    """
    shuffled = frame.iloc[order(len(frame), seed)]
    first = int(len(frame) * train_share)
    return Split(Rows(shuffled[:first], features, target), Rows(shuffled[first:], features, target))


def hold_out(rows: Rows, share: float) -> Split:
    """Hold out the last rows of the training side, which its split has shuffled.

    Args:
        rows: The training rows.
        share: Of them, rounded down to whole rows but at least one.

    Returns:
        The rest to train on, and those held out as ``test``.
    """
    first = len(rows.frame) - max(1, int(len(rows.frame) * share))
    return Split(replace(rows, frame=rows.frame[:first]), replace(rows, frame=rows.frame[first:]))
