"""The training rows that explanations compare with, and when a row is unlike all of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from service.contract import Background

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.split import Rows

_ROWS: Final = 100
# Rows, of the shuffled ones, that are enough to find a quantile.
_COMPARED_ROWS: Final = 10_000
# Of rows like the training rows that are called unusual.
_FALSE_ALARMS: Final = 0.01


def background(train: Rows) -> Background:
    """Choose the rows of explanations, the same ones every time.

    Args:
        train: The rows that a version is trained on.
    """
    places = choose(train.prices)
    chosen, others = train.batch[places], np.delete(train.batch, places, axis=0)
    scales = _scales(train.batch)
    limit = distance_limit([nearest(row, chosen, scales) for row in others[:_COMPARED_ROWS]])
    return Background(
        instances=tuple(tuple(map(_written, row)) for row in chosen),
        scales=tuple(map(_written, scales)),
        distance_limit=limit,
        false_alarms=None if limit is None else _FALSE_ALARMS,
    )


def choose(prices: NDArray[np.float64]) -> NDArray[np.intp]:
    """Choose up to a hundred rows whose prices are spread as those of all rows are.

    Sorted by price, the rows are cut into as many parts, equal but for one row, and the middle
    one of each is taken.

    Args:
        prices: Of all rows, ``[n]``.

    Returns:
        Which rows, by rising price.
    """
    count = min(_ROWS, len(prices))
    middles = (np.arange(count) + 0.5) * len(prices) / count
    return np.argsort(prices, kind="stable")[middles.astype(np.intp)]


def nearest(
    row: NDArray[np.float32], rows: NDArray[np.float32], scales: NDArray[np.float64]
) -> float:
    """The distance from a row to the nearest of others; see ``Background``.

    Args:
        row: ``[features]``.
        rows: ``[n, features]``.
        scales: ``[features]``, NaN where any difference counts 1.
    """
    one, others = row.astype(np.float64), rows.astype(np.float64)
    differ = ~((one == others) | (np.isnan(one) & np.isnan(others)))
    gaps = np.where(differ, np.nan_to_num(np.abs(one - others) / scales, nan=1.0), 0.0)
    return float(np.sqrt(np.square(gaps).mean(axis=1)).min())


def distance_limit(distances: list[float]) -> float | None:
    """The distance that a new row like these exceeds with at most the stated probability.

    It is the k-th smallest of n, k = (n + 1) (1 - share) rounded up: the rank of a new one among
    them is as likely to be any.

    Returns:
        None if there are too few to say.

    References:
        Vovk et al. 2005, Algorithmic learning in a random world (conformal prediction).
    """
    rank = math.ceil((len(distances) + 1) * (1 - _FALSE_ALARMS))
    return sorted(distances)[rank - 1] if rank <= len(distances) else None


def _scales(batch: NDArray[np.float32]) -> NDArray[np.float64]:
    """Each column's standard deviation; NaN where all values are the same."""
    spread = np.nanstd(batch.astype(np.float64), axis=0)
    return np.where(spread > 0, spread, np.nan)


def _written(value: np.floating) -> float | None:
    """A number in the digits that its precision has; None for NaN, which JSON does not know."""
    return None if np.isnan(value) else float(str(value))
