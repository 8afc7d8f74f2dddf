"""What each feature adds to a price: Shapley values against background rows.

A coalition is a set of features. Its value is the mean price of the background rows once
they have the instance's values in these features. A feature's Shapley value is what it adds
to the value of a coalition that it joins, averaged over the orders in which features can
join. All of them together are the instance's price less the mean price of the background.

It knows a model as a function from rows to prices.

References:
    Shapley 1953, A value for n-person games. Lundberg and Lee 2017, A unified approach to
    interpreting model predictions (interventional values). Castro et al. 2009, Polynomial
    calculation of the Shapley value based on sampling. Mitchell et al. 2022, Sampling
    permutations for Shapley value estimation (antithetic pairs).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import factorial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    # From rows, float32 [n, features], to their prices [n].
    Model = Callable[[NDArray[np.float32]], NDArray[Any]]

# Up to so many features every coalition is tried: 4096 of them with twelve.
EXACT_FEATURES: Final = 12
# Rows that are run for an instance with more features than that.
_SAMPLED_ROWS: Final = 2**16
# Orders, each with its reverse, that a background row is walked in at least: with one alone
# there is no error to tell.
_LEAST_PAIRS: Final = 2
_SEED: Final = 20_260_101

# Rows that are built and run at once: a few milliseconds of a large network.
_BLOCK_ROWS: Final = 4096
# Rows up to which it costs less to run all than to leave out those that are known already.
_FEW_ROWS: Final = 1024


@dataclass(frozen=True)
class Shares:
    """How one instance's price comes about.

    Attributes:
        price: Its price.
        contributions: What each feature adds to the base, ``[features]``.
        errors: The standard error of each, ``[features]``; zero where they are exact.
    """

    price: float
    contributions: NDArray[np.float64]
    errors: NDArray[np.float64]


class Shapley:
    """Explains a model's prices against background rows.

    Up to ``EXACT_FEATURES`` features the values are exact. Beyond, every background row is
    walked to the instance feature by feature, in as many random orders each, and back: a
    feature's value is the mean of what its step changes. The same instance gets the same
    answer every time.

    Args:
        model: From rows, float32 ``[n, features]``, to their prices ``[n]``. The rows of one
            call do not depend on each other.
        background: The rows to compare with, float32 ``[m, features]``.

    Attributes:
        base: Mean price of the background.
        background: The rows to compare with.
    """

    def __init__(self, model: Model, background: NDArray[np.float32]) -> None:
        self.background = np.ascontiguousarray(background, np.float32)
        self._model = model
        self._features = int(self.background.shape[1])
        self._prices = self._run(self.background)
        self.base = float(self._prices.mean())

    @property
    def is_exact(self) -> bool:
        """Whether every coalition is tried."""
        return self._features <= EXACT_FEATURES

    @property
    def rows(self) -> int:
        """The most rows that are run for one instance."""
        count, features = len(self.background), self._features
        if self.is_exact:
            return count * int(2**features - 2) + 1
        return count * self._pairs * 2 * (features - 1) + 1

    def explain(self, batch: NDArray[np.float32]) -> list[Shares]:
        """Explain instances; equal ones are computed once.

        Args:
            batch: float32 ``[n, features]``.

        Returns:
            One explanation a row.
        """
        batch = np.ascontiguousarray(batch, np.float32)
        if len(batch) == 1:
            return [self._explain(batch[0], self._run(batch)[0])]
        # By their bits, so that a missing value (NaN) equals another.
        _, first, places = np.unique(
            batch.view(np.int32), axis=0, return_index=True, return_inverse=True
        )
        distinct = batch[first]
        made = [self._explain(*it) for it in zip(distinct, self._run(distinct), strict=True)]
        return [made[place] for place in places.ravel()]

    def _explain(self, row: NDArray[np.float32], price: float) -> Shares:
        if self.is_exact:
            return Shares(float(price), self._exact(row, price), np.zeros(len(row)))
        return Shares(float(price), *self._sampled(row, price))

    def _exact(self, row: NDArray[np.float32], price: float) -> NDArray[np.float64]:
        """The mean over background rows of the values of the games against each of them.

        In which a feature has the same value in both rows: it adds nothing to any coalition,
        and the game is one of the others alone.
        """
        differing = self._differing(row)
        players = differing.sum(axis=1)
        total = np.zeros(len(row))
        for count in np.unique(players[players > 0]).tolist():
            for places in _blocks(np.flatnonzero(players == count), _BLOCK_ROWS >> count):
                columns = np.nonzero(differing[places])[1].reshape(-1, count)
                values = self._values(row, price, places, columns)
                np.add.at(total, columns, values @ _weights(count))
        return total / len(self.background)

    def _differing(self, row: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Where background rows have other values than a row, bit by bit: ``[m, features]``."""
        if self.rows <= _FEW_ROWS:
            return np.ones(self.background.shape, np.bool_)
        return np.asarray(self.background.view(np.int32) != row.view(np.int32))

    def _values(
        self,
        row: NDArray[np.float32],
        price: float,
        places: NDArray[np.intp],
        columns: NDArray[np.intp],
    ) -> NDArray[np.float64]:
        """The value of every coalition in the game against each of some background rows.

        Args:
            row: The instance.
            price: Its price.
            places: Which background rows, ``[g]``.
            columns: The players of each game, ``[g, k]``.

        Returns:
            ``[g, 2^k]``, as ``_coalitions`` orders them.
        """
        games, count = columns.shape
        values = np.empty((games, 2**count))
        values[:, 0], values[:, -1] = self._prices[places], price
        if count > 1:
            others = _mixed(row, self.background[places], columns, _coalitions(count)[1:-1])
            values[:, 1:-1] = self._run(others).reshape(games, -1)
        return values

    @property
    def _pairs(self) -> int:
        """Orders, each with its reverse, in which a background row is walked to an instance."""
        steps = 2 * len(self.background) * (self._features - 1)
        return max(_LEAST_PAIRS, _SAMPLED_ROWS // steps)

    def _sampled(
        self, row: NDArray[np.float32], price: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Estimates of the values, and their standard errors.

        Every background row is walked as often, so that the estimates add up as the values do.
        """
        count, features = len(self.background), self._features
        random = np.random.default_rng([_SEED, *row.view(np.uint32).tolist()])
        orders = np.tile(np.arange(features), (count * self._pairs, 1))
        ranks = random.permuted(orders, axis=1)
        walked = np.repeat(np.arange(count), self._pairs)
        gains = (
            self._walk(row, price, walked, ranks)
            + self._walk(row, price, walked, features - 1 - ranks)
        ) / 2
        pairs = gains.reshape(count, self._pairs, features)
        variances = pairs.var(axis=1, ddof=1) / self._pairs
        return gains.mean(axis=0), np.sqrt(variances.sum(axis=0)) / count

    def _walk(
        self,
        row: NDArray[np.float32],
        price: float,
        places: NDArray[np.intp],
        ranks: NDArray[np.intp],
    ) -> NDArray[np.float64]:
        """What each feature's step changes on ways from background rows to an instance.

        Args:
            row: The instance.
            price: Its price.
            places: The background rows that they begin at, ``[w]``.
            ranks: On which step each feature changes, ``[w, features]``.

        Returns:
            ``[w, features]``.
        """
        ways, features = ranks.shape
        values = np.empty((ways, features + 1))
        values[:, 0], values[:, -1] = self._prices[places], price
        steps = np.arange(1, features)[:, None]
        for block in _blocks(np.arange(ways), _BLOCK_ROWS // (features - 1)):
            changed = ranks[block, None, :] < steps
            rows = np.where(changed, row, self.background[places[block], None, :])
            values[block, 1:-1] = self._run(rows.reshape(-1, features)).reshape(len(block), -1)
        return np.take_along_axis(np.diff(values, axis=1), ranks, axis=1)

    def _run(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(self._model(rows), np.float64)


def _blocks(places: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    """Places, so many at a time; at least one."""
    step = max(size, 1)
    return (places[start : start + step] for start in range(0, len(places), step))


def _mixed(
    row: NDArray[np.float32],
    background: NDArray[np.float32],
    columns: NDArray[np.intp],
    coalitions: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Background rows with an instance's values in the features of coalitions.

    Args:
        row: The instance, ``[features]``.
        background: ``[g, features]``.
        columns: The features that coalitions are made of, ``[g, k]``.
        coalitions: Who is in each, ``[c, k]``.

    Returns:
        ``[g * c, features]``.
    """
    if columns.shape[1] == len(row):
        return np.where(coalitions, row, background[:, None, :]).reshape(-1, len(row))
    own = np.take_along_axis(background, columns, axis=1)[:, None, :]
    mixed = np.repeat(background[:, None, :], len(coalitions), axis=1)
    taken = np.where(coalitions, row[columns][:, None, :], own)
    np.put_along_axis(mixed, columns[:, None, :], taken, axis=2)
    return mixed.reshape(-1, len(row))


@lru_cache(maxsize=EXACT_FEATURES + 1)
def _coalitions(players: int) -> NDArray[np.bool_]:
    """Who is in each coalition, ``[2^players, players]``: nobody in the first, all in the last."""
    numbers = np.arange(2**players)[:, None]
    return np.asarray(numbers >> np.arange(players) & 1, np.bool_)


@lru_cache(maxsize=EXACT_FEATURES + 1)
def _weights(players: int) -> NDArray[np.float64]:
    """From the values of coalitions to the players' Shapley values: ``[2^players, players]``.

    A player joins a coalition of s others, first in all orders but for these s before and the
    others behind: in s! (players - s - 1)! of players! orders.
    """
    inside = _coalitions(players)
    others = inside.sum(axis=1)[:, None] - inside
    orders = [factorial(it) * factorial(players - it - 1) for it in range(players)]
    share = np.array(orders, np.float64) / factorial(players)
    return np.asarray(np.where(inside, share[others], -share[others]), np.float64)
