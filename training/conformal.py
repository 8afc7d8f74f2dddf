"""Prediction intervals around the price, as wide as networks of its kind have erred.

The served network learns from all training rows, so that its own errors on them are too
small to go by. Its like is asked instead: networks of the same recipe, each trained without
a tenth of these rows, predict that tenth. How far they miss, as a multiple of what is usual
at such a price, is a row's score; a level's interval is as wide as the score that so large a
share of the rows stays within.

References:
    Vovk, Cross-conformal predictors, 2015; Barber, Candès, Ramdas and Tibshirani, Predictive
    inference with the jackknife+, 2021; Lei, G'Sell, Rinaldo, Tibshirani and Wasserman,
    Distribution-free predictive inference for regression, 2018, section 5.2 (scores as a
    multiple of a spread).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from service.contract import LOWER, UPPER
from training.experiments.crossvalidation import folds
from training.signatures import INTERVAL, OUTPUT, USUAL_LEVEL, interval
from training.trials import Trial, predict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from training.preparation import Preparation
    from training.recipe import Recipe
    from training.split import Rows

    Vector = NDArray[np.floating]
    Measure = Callable[[Vector, Vector], "Spread"]
    # For each part the numbers of all other rows, and its own.
    Parts = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]

LEVELS: Final = (0.8, 0.9, 0.95)
FOLDS: Final = 10

# Of an average's members, as many are trained without each tenth: their errors are somewhat
# larger than those of all, so that intervals are rather too wide than too narrow.
MEMBERS: Final = 4

# Rows are cut by their price into so many groups, each with a spread of its own.
_GROUPS: Final = 5
# The least spread, as a share of the mean error: no row's score may be divided by nothing.
_LEAST: Final = 0.1


@dataclass(frozen=True)
class Spread:
    """How far prices usually err: straight lines between points, level beyond them.

    Attributes:
        prices: Predicted prices, ascending.
        errors: The mean absolute error there, above 0.
    """

    prices: tuple[float, ...]
    errors: tuple[float, ...]

    def at(self, prices: Vector) -> NDArray[np.float64]:
        """The spread at some predicted prices, ``[n]``."""
        return np.interp(prices, self.prices, self.errors)

    @staticmethod
    def of(predicted: Vector, errors: Vector) -> Spread:
        """Take the mean error of groups of rows of like price.

        Args:
            predicted: ``[n]``.
            errors: Absolute, ``[n]``.
        """
        groups = np.array_split(np.argsort(predicted, kind="stable"), min(_GROUPS, len(predicted)))
        # In the precision of the exported models, where groups of one price are one point.
        points: dict[float, list[NDArray[np.intp]]] = {}
        for group in groups:
            points.setdefault(float(np.float32(predicted[group].mean())), []).append(group)
        means = {it: errors[np.concatenate(points[it])].mean() for it in sorted(points)}
        least = _LEAST * errors.mean() or 1.0
        return Spread(tuple(means), tuple(max(float(it), least) for it in means.values()))

    @staticmethod
    def constant(_predicted: Vector, _errors: Vector) -> Spread:
        """The spread that makes all intervals of a level as wide: 1, whatever the price."""
        return Spread((0.0,), (1.0,))


@dataclass(frozen=True)
class Intervals:
    """How wide the intervals are.

    Attributes:
        spread: How far prices usually err.
        factors: By level, how many spreads the interval reaches to either side; a level for
            which there were too few rows is missing.
        minimum: No price is below this, nor is a lower bound; None where there is no such.
        rows: How many rows' scores the factors come from.
        folds: How many parts the rows were cut into.
        members: How many networks were averaged for each part.
    """

    spread: Spread
    factors: Mapping[float, float]
    minimum: float | None
    rows: int
    folds: int
    members: int

    @property
    def signatures(self) -> dict[str, float]:
        """The level that each signature is of."""
        usual = {INTERVAL: USUAL_LEVEL} if USUAL_LEVEL in self.factors else {}
        return {interval(level): level for level in self.factors} | usual

    def outputs(self, prices: Vector) -> dict[str, dict[str, Vector]]:
        """What each signature of intervals gives for some predicted prices, ``[n]`` each."""
        outputs = {}
        for signature, level in self.signatures.items():
            lower, upper = self.bounds(prices, level)
            outputs[signature] = {OUTPUT: prices, LOWER: lower, UPPER: upper}
        return outputs

    def bounds(self, prices: Vector, level: float) -> tuple[Vector, Vector]:
        """The lower and upper bounds around some predicted prices, ``[n]`` each.

        Args:
            prices: ``[n]``.
            level: One of ``factors``.
        """
        reach = self.factors[level] * self.spread.at(prices)
        lower = prices - reach
        if self.minimum is not None:
            # A network may predict less than there can be: its interval begins there.
            lower = np.maximum(lower, np.minimum(prices, self.minimum))
        return lower, prices + reach


class HeldOut(NamedTuple):
    """What networks predict for training rows that they have not seen.

    Attributes:
        predicted: ``[n]``.
        truth: ``[n]``.
        parts: The parts that the rows were cut into; none where they are too few for any level.
        members: How many networks were averaged for each part; 0 where the served one was asked.
    """

    predicted: Vector
    truth: Vector
    parts: Parts
    members: int


def hold_out(
    recipe: Recipe, rows: Rows, sets: Sequence[NDArray[np.intp]], how: Preparation
) -> list[HeldOut]:
    """Have every training row predicted by networks that have not seen it.

    Args:
        recipe: How the networks are trained.
        rows: The table.
        sets: Of each network that is to have intervals the numbers of its training rows.
        how: What the rows and the target need.

    Returns:
        One a set, its rows in their order.

    Raises:
        DivergedError: A network that learned from a part of the rows diverged.
    """
    recipe = replace(recipe, members=min(recipe.members, MEMBERS))
    parts = [_parts(len(numbers)) for numbers in sets]
    trials = [
        Trial(numbers[train], numbers[held], seed)
        for seed, (numbers, cut) in enumerate(zip(sets, parts, strict=True))
        for train, held in cut
    ]
    answers = iter(predict(recipe, rows, trials, how))
    found = []
    for numbers, cut in zip(sets, parts, strict=True):
        predicted = np.zeros(len(numbers))
        for _, held in cut:
            predicted[held] = next(answers)
        found.append(HeldOut(predicted, rows.prices[numbers], cut, recipe.members))
    return found


def unseen(predicted: Vector, truth: Vector) -> HeldOut:
    """Rows that the served network itself has not seen, where there are many.

    Args:
        predicted: What it predicts for them, ``[n]``.
        truth: ``[n]``.
    """
    return HeldOut(predicted, truth, _parts(len(truth)), 0)


def _parts(count: int) -> Parts:
    return folds(count, min(FOLDS, count)) if rank(count, min(LEVELS)) <= count else []


def calibrate(held: HeldOut, minimum: float | None, measure: Measure = Spread.of) -> Intervals:
    """Find how wide intervals are.

    Args:
        held: The training rows.
        minimum: See ``Intervals``.
        measure: From predicted prices and absolute errors, ``[n]`` each, to the spread.
    """
    if not held.parts:
        return Intervals(
            Spread.constant(held.truth, held.truth), {}, minimum, len(held.truth), 0, held.members
        )
    errors = np.abs(held.predicted - held.truth)
    scored = scores(held.predicted, errors, held.parts, measure)
    return Intervals(
        measure(held.predicted, errors),
        {level: it for level in LEVELS if (it := quantile(scored, level)) is not None},
        minimum,
        len(errors),
        len(held.parts),
        held.members,
    )


def scores(
    predicted: Vector, errors: Vector, parts: Parts, measure: Measure
) -> NDArray[np.float64]:
    """Each row's error as a multiple of the spread that the rows of other parts have there.

    Args:
        predicted: By networks that had not seen the row, ``[n]``.
        errors: Absolute, ``[n]``.
        parts: For each part the numbers of all other rows, and its own.
        measure: See ``calibrate``.

    Returns:
        ``[n]``.
    """
    scored = np.empty(len(errors))
    for others, held in parts:
        spread = measure(predicted[others], errors[others])
        scored[held] = errors[held] / spread.at(predicted[held])
    return scored


def rank(count: int, level: float) -> int:
    """Which of ``count`` ascending scores a new row's stays within in a share ``level`` of cases.

    One more than there are where no score is large enough.
    """
    # Rounded first: (19 + 1) * 0.95 is a hair above 19 in binary.
    return math.ceil(round((count + 1) * level, 9))


def quantile(scored: Vector, level: float) -> float | None:
    """The score of that rank; None where the scores are too few.

    Args:
        scored: ``[n]``.
        level: The share of new rows whose score is to be within.
    """
    place = rank(len(scored), level)
    return float(np.sort(scored)[place - 1]) if place <= len(scored) else None
