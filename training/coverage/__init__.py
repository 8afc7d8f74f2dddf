"""How often the truth lies within the intervals: on the test rows, and when all is made anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from service import contract
from training import conformal
from training.columns import TARGET
from training.conformal import Spread
from training.signatures import interval
from training.split import order
from training.trials import Trial, predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.conformal import HeldOut, Intervals, Measure
    from training.preparation import Preparation
    from training.recipe import Recipe
    from training.split import Rows, Split

    Vector = NDArray[np.floating]


# No price is below this.
MINIMUM: Final = TARGET.minimum

# Training rows of a table of one's own from which its test rows are enough to say how wide
# intervals are; to train ten networks more would take long.
MOST_ROWS: Final = 5000


class Seen(NamedTuple):
    """Rows that had no part in the training, with their intervals at one level.

    Attributes:
        predicted: ``[n]``.
        truth: ``[n]``.
        lower: ``[n]``.
        upper: ``[n]``.
    """

    predicted: Vector
    truth: Vector
    lower: Vector
    upper: Vector

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Whether the truth of each lies within its interval, ``[n]``."""
        return (self.lower <= self.truth) & (self.truth <= self.upper)

    @property
    def widths(self) -> Vector:
        """How wide each interval is, ``[n]``."""
        return self.upper - self.lower


def see(intervals: Intervals, predicted: Vector, truth: Vector) -> dict[float, Seen]:
    """Hold predictions against the truth, at every level.

    Args:
        intervals: How wide they are.
        predicted: ``[n]``.
        truth: ``[n]``.
    """
    return {
        level: Seen(predicted, truth, *intervals.bounds(predicted, level))
        for level in intervals.factors
    }


class Anew(NamedTuple):
    """One way to split the table, and what came of it.

    Attributes:
        test: Numbers of the rows that test: ``[m]``.
        held: The rows that train.
        predicted: What a network of all of these predicts for those that test, ``[m]``.
        truth: ``[m]``.
    """

    test: NDArray[np.intp]
    held: HeldOut
    predicted: Vector
    truth: Vector

    def see(
        self, measure: Measure = Spread.of, minimum: float | None = MINIMUM
    ) -> dict[float, Seen]:
        """The rows that test with their intervals, by level.

        Args:
            measure: See ``conformal.calibrate``.
            minimum: No price is below this; None where there is no such.
        """
        intervals = conformal.calibrate(self.held, minimum, measure)
        return see(intervals, self.predicted, self.truth)


@dataclass(frozen=True)
class Found:
    """Intervals, and how often the truth lies within.

    Attributes:
        intervals: How wide they are.
        test: The test rows with theirs, by level.
        splits: Those of the table split anew, if it was.
    """

    intervals: Intervals
    test: dict[float, Seen]
    splits: list[dict[float, Seen]]

    @property
    def described(self) -> contract.Intervals | None:
        """What the version says of them; None where there are too few rows for any."""
        found = self.intervals
        if not found.factors:
            return None
        spread = contract.Spread(found.spread.prices, found.spread.errors)
        levels = tuple(_level(self, it) for it in found.factors)
        return contract.Intervals(_method(found), found.rows, spread, found.minimum, levels)


def of_unseen(predicted: Vector, truth: Vector, minimum: float | None) -> Found:
    """Find the intervals of a network that has many rows it has not seen.

    Half of them say how wide intervals are, the other half how often the truth lies within.

    Args:
        predicted: What it predicts for them, ``[n]``.
        truth: ``[n]``.
        minimum: No price is below this; None where there is no such.
    """
    half = len(truth) // 2
    held = conformal.unseen(predicted[:half], truth[:half])
    intervals = conformal.calibrate(held, minimum)
    return Found(intervals, see(intervals, predicted[half:], truth[half:]), [])


def find(
    recipe: Recipe,
    split: Split,
    predicted: Vector,
    how: Preparation,
    minimum: float | None = MINIMUM,
) -> Found:
    """Find the intervals of a trained network, and how often the truth lies within.

    Args:
        recipe: How it was trained.
        split: The rows.
        predicted: What it predicts for those that test, ``[n]``.
        how: What the rows and the target need.
        minimum: No price is below this; None where there is no such.

    Raises:
        DivergedError: A network that was trained for comparison diverged.
    """
    table = replace(split.train, frame=pd.concat([split.train.frame, split.test.frame]))
    numbers = np.arange(len(split.train.frame))
    (held,) = conformal.hold_out(recipe, table, [numbers], how)
    intervals = conformal.calibrate(held, minimum)
    test = see(intervals, predicted, split.test.prices)
    splits = split_anew(recipe, table, recipe.coverage_splits, how)
    return Found(intervals, test, [it.see(minimum=minimum) for it in splits])


def split_anew(recipe: Recipe, rows: Rows, count: int, how: Preparation) -> list[Anew]:
    """Split a table again and again, each time train networks and find intervals anew.

    Args:
        recipe: How; each split has first weights and an order of rows of its own.
        rows: The whole table.
        count: How often.
        how: What the rows and the target need.

    Raises:
        DivergedError: A network diverged.
    """
    first = int(len(rows.prices) * recipe.train_share)
    orders = [order(len(rows.prices), seed) for seed in range(count)]
    trials = [Trial(it[:first], it[first:], seed) for seed, it in enumerate(orders)]
    answers = predict(recipe, rows, trials, how)
    held = conformal.hold_out(recipe, rows, [it.train for it in trials], how)
    return [
        Anew(it.asked, found, answer, rows.prices[it.asked])
        for it, found, answer in zip(trials, held, answers, strict=True)
    ]


def of_rows(seen: Seen) -> contract.Coverage:
    """What one set of rows shows, with the uncertainty of a share of so few."""
    inside, rows = int(seen.inside.sum()), len(seen.truth)
    likely = binomtest(inside, rows).proportion_ci(0.95, method="exact")
    width = float(seen.widths.mean())
    return contract.Coverage(inside / rows, float(likely.low), float(likely.high), width, rows)


def of_splits(splits: Sequence[Seen]) -> contract.Coverage:
    """What several splits show, with the least and the greatest share among them."""
    shares = [float(it.inside.mean()) for it in splits]
    return contract.Coverage(
        share=float(np.mean(shares)),
        low=min(shares),
        high=max(shares),
        width=float(np.mean([it.widths.mean() for it in splits])),
        rows=sum(len(it.truth) for it in splits),
        splits=len(splits),
    )


def _level(found: Found, level: float) -> contract.Level:
    return contract.Level(
        level=level,
        signature=interval(level),
        factor=found.intervals.factors[level],
        test=of_rows(found.test[level]),
        splits=of_splits([it[level] for it in found.splits]) if found.splits else None,
    )


def _method(intervals: Intervals) -> str:
    if not intervals.members:
        return (
            f"split conformal: errors of the network on {intervals.rows} rows that it has not "
            "seen, as multiples of the usual error at the predicted price"
        )
    networks = f"averages of {intervals.members} networks" if intervals.members > 1 else "networks"
    return (
        f"cross-conformal: errors of {networks} trained without each of {intervals.folds} parts "
        "of the training rows, as multiples of the usual error at the predicted price"
    )
