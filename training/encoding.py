"""How a row becomes the numbers that the layers read, categories and missing values included.

A number keeps its place. A number that is missing becomes the training rows' median, and a
column that had missing values gets a second place: 1 where the value is missing, else 0. A
category gets a place for each category that is known, 1 at its own and 0 at the others, and
one for missing if it had missing values. A category that is not known is what the training
rows are in the mean, so that it pulls the answer nowhere.

The network has the same as its first layer, so that nobody who serves it can do it otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from training.columns import Column

Floats = NDArray[np.float32]


class _Place(NamedTuple):
    """One number that the layers read, and what makes it.

    Attributes:
        source: The column that it is read from.
        keeps: 1 where the value itself is kept.
        signs: 1 where it tells whether the value is missing.
        code: The category that it stands for; NaN where it stands for none.
        fill: What stands for a missing value that would be kept.
    """

    source: int
    keeps: float = 0.0
    signs: float = 0.0
    code: float = float("nan")
    fill: float = 0.0


@dataclass(frozen=True)
class Encoding:
    """What turns a batch into what the layers read; each array has ``k`` places.

    Attributes:
        sources: The column of the batch that each place is read from.
        keeps: 1 where the value itself is kept.
        signs: What a missing value puts there: 1 where the place tells that it is.
        codes: The number of the category that the place stands for, else NaN.
        fills: What stands for a missing value that would be kept.
        others: The number of an unknown category of the same column, else NaN.
        shares: What an unknown category puts there.
    """

    sources: NDArray[np.int32]
    keeps: Floats
    signs: Floats
    codes: Floats
    fills: Floats
    others: Floats
    shares: Floats

    def expand(self, batch: Floats) -> Floats:
        """Turn rows into what the layers read.

        Args:
            batch: ``[n, features]``.

        Returns:
            ``[n, k]``.
        """
        seen = batch[:, self.sources]
        missing = np.isnan(seen)
        expanded: Floats = (
            self.keeps * np.where(missing, self.fills, seen)
            + self.signs * missing.astype(np.float32)
            + (seen == self.codes).astype(np.float32)
            + self.shares * (seen == self.others).astype(np.float32)
        )
        return expanded


def encoding(columns: Sequence[Column], training: Floats) -> Encoding | None:
    """How rows of these columns are encoded.

    Args:
        columns: What the network reads, in order.
        training: The training rows, ``[n, columns]``: what an unknown category is the mean of.

    Returns:
        The encoding; None where the layers can read rows as they are.
    """
    if not any(it.is_category or it.optional for it in columns):
        return None
    taught: NDArray[np.bool_] = np.atleast_1d(np.isnan(training).any(axis=0))
    places = [
        it for index, column in enumerate(columns) for it in _places(index, column, taught[index])
    ]
    others = [_other(columns[it.source]) for it in places]
    plain = Encoding(
        sources=np.array([it.source for it in places], np.int32),
        keeps=np.array([it.keeps for it in places], np.float32),
        signs=np.array([it.signs for it in places], np.float32),
        codes=np.array([it.code for it in places], np.float32),
        fills=np.array([it.fill for it in places], np.float32),
        others=np.array(others, np.float32),
        shares=np.zeros(len(places), np.float32),
    )
    return _with_shares(plain, training, taught)


def _places(index: int, column: Column, has_sign: bool) -> Iterator[_Place]:
    if column.is_category:
        for code in range(len(column.categories)):
            yield _Place(index, code=code)
    else:
        # Where nothing may be missing, no number is made up for what is.
        yield _Place(index, keeps=1, fill=column.fill if column.optional else float("nan"))
    if column.optional and has_sign:
        yield _Place(index, signs=1)


def _other(column: Column) -> float:
    return column.other if column.is_category else float("nan")


def _with_shares(plain: Encoding, training: Floats, taught: NDArray[np.bool_]) -> Encoding:
    """Put in what the places of categories are in the mean of the rows that are known.

    A missing category that no training row had is like an unknown one.
    """
    seen = training[:, plain.sources]
    known = seen != plain.others
    shares = (plain.expand(training) * known).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    kept = np.where(np.isnan(plain.others), 0, shares).astype(np.float32)
    signs = np.where(np.isnan(plain.others) | taught[plain.sources], plain.signs, kept)
    return replace(plain, shares=kept, signs=signs.astype(np.float32))
