"""What many splits of the table show of the intervals: by level, by price and by feature.

Both ways of measuring a spread are held against the same networks and the same rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from training.conformal import Spread
from training.coverage import split_anew
from training.signatures import USUAL_LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from training.coverage import Anew, Seen
    from training.preparation import Preparation
    from training.recipe import Recipe
    from training.split import Rows

# What a width follows, as the page calls it.
SPREADS: Final = {"by price": Spread.of, "constant": Spread.constant}
QUARTERS: Final = 4
PRICE: Final = "predicted price"


class Share(msgspec.Struct, frozen=True):
    """How often the truth lay within, at one level with one kind of width.

    Attributes:
        level: The level.
        widths: One of ``SPREADS``.
        mean: Mean over the splits of the share of test rows within.
        std: Standard deviation over the splits.
        low: The least.
        high: The greatest.
        width: Mean width, in the target's unit.
    """

    level: float
    widths: str
    mean: float
    std: float
    low: float
    high: float
    width: float


class Quarters(msgspec.Struct, frozen=True):
    """The same at the usual level, for quarters of the test rows of all splits.

    Attributes:
        by: The column that the rows are ordered by, or the predicted price.
        limits: The values between the quarters, ascending.
        shares: By kind of width the share of each quarter's rows within; None for one that
            has no rows, as a column of few values may have.
    """

    by: str
    limits: tuple[float, ...]
    shares: dict[str, tuple[float | None, ...]]


class Study(msgspec.Struct, frozen=True):
    """What the splits show.

    Attributes:
        recipe: Its name.
        splits: How many there were.
        train: Rows that train in each.
        test: Rows that test in each.
        shares: By level and kind of width.
        quarters: By price and by feature.
    """

    recipe: str
    splits: int
    train: int
    test: int
    shares: tuple[Share, ...]
    quarters: tuple[Quarters, ...]


def study(name: str, recipe: Recipe, rows: Rows, count: int, how: Preparation) -> Study:
    """Split a table again and again, and see how often the truth lies within the intervals.

    Args:
        name: The recipe's.
        recipe: How networks are trained.
        rows: The table.
        count: How often.
        how: What the rows and the target need.

    Raises:
        DivergedError: A network diverged.
    """
    splits = split_anew(recipe, rows, count, how)
    seen = {kind: [it.see(measure) for it in splits] for kind, measure in SPREADS.items()}
    return Study(
        recipe=name,
        splits=count,
        train=len(splits[0].held.truth),
        test=len(splits[0].test),
        shares=tuple(_shares(seen)),
        quarters=tuple(_quarters(rows, splits, seen)),
    )


def _shares(seen: Mapping[str, Sequence[dict[float, Seen]]]) -> Iterator[Share]:
    for level in next(iter(seen.values()))[0]:
        for kind, splits in seen.items():
            shares = np.array([it[level].inside.mean() for it in splits])
            width = np.mean([it[level].widths.mean() for it in splits])
            numbers = (shares.mean(), shares.std(), shares.min(), shares.max(), width)
            yield Share(level, kind, *(round(float(it), 4) for it in numbers))


def _quarters(
    rows: Rows, splits: Sequence[Anew], seen: Mapping[str, Sequence[dict[float, Seen]]]
) -> Iterator[Quarters]:
    tested = np.concatenate([it.test for it in splits])
    columns = {PRICE: np.concatenate([it.predicted for it in splits])}
    columns |= {name: rows.frame[name].to_numpy(np.float64)[tested] for name in rows.features}
    inside = {
        kind: np.concatenate([it[USUAL_LEVEL].inside for it in many]) for kind, many in seen.items()
    }
    for name, values in columns.items():
        limits = np.quantile(values, np.linspace(0, 1, QUARTERS + 1)[1:-1])
        groups = np.searchsorted(limits, values)
        yield Quarters(
            name,
            tuple(round(float(it), 4) for it in limits),
            {kind: _of_groups(it, groups) for kind, it in inside.items()},
        )


def _of_groups(inside: NDArray[np.bool_], groups: NDArray[np.intp]) -> tuple[float | None, ...]:
    shares = (inside[groups == it] for it in range(QUARTERS))
    return tuple(round(float(it.mean()), 4) if len(it) else None for it in shares)
