"""Whether counts by bin are like those of a reference: closed forms, no tables, no SciPy.

References:
    B. Yurdakul and J. Naranjo, Statistical properties of the population stability index,
    Journal of Risk Model Validation 14 (2020): with n rows, m in the reference and B bins the
    index is distributed as (1/n + 1/m) times chi-square with B - 1 degrees of freedom, where
    both come from one population.
    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6 (1979).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# What a bin without rows is counted as, and every other is given too: a logarithm needs some.
_SOME: Final = 0.5
_HALVINGS: Final = 60


def stability_index(counts: NDArray[np.int64], reference: NDArray[np.float64]) -> float:
    """The population stability index, the sum of (p - q) ln(p / q) over the bins.

    Args:
        counts: Rows by bin, ``[bins]``, at least one in all.
        reference: The reference's rows by bin, ``[bins]``, at least one in all.
    """
    p, q = (it + _SOME for it in (counts, reference))
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def index_quantile(share: float, rows: float, reference_rows: float, degrees: int) -> float:
    """The index that this share of comparisons stays below where nothing has changed.

    Args:
        share: In (0, 1).
        rows: Rows compared.
        reference_rows: Rows of the reference.
        degrees: Bins less one; 0 where there is nothing to compare.
    """
    if degrees == 0:
        return 0.0
    return (1 / rows + 1 / reference_rows) * chi_square_quantile(share, degrees)


def two_sample(counts: NDArray[np.int64], reference: NDArray[np.float64]) -> tuple[float, int]:
    """The chi-square statistic of two samples counted in the same bins.

    Args:
        counts: Rows by bin, ``[bins]``, at least one in all.
        reference: The reference's rows by bin, ``[bins]``, at least one in all.

    Returns:
        The statistic and its degrees of freedom: bins that hold a row of either, less one.
    """
    held = (counts + reference) > 0
    p, q = counts[held], reference[held]
    weight = math.sqrt(q.sum() / p.sum())
    return float((((weight * p - q / weight) ** 2) / (p + q)).sum()), int(held.sum()) - 1


def chi_square_tail(statistic: float, degrees: int) -> float:
    """The probability that chi-square is greater.

    Args:
        statistic: At least 0.
        degrees: Degrees of freedom; with 0 it is never greater.

    References:
        M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 26.4.4 and 26.4.5.
    """
    if degrees == 0:
        return 1.0
    half = statistic / 2
    if half <= 0:
        return 1.0
    odd = degrees % 2
    total = math.erfc(math.sqrt(half)) if odd else 0.0
    for step in range(degrees // 2):
        power = step + odd / 2
        total += math.exp(power * math.log(half) - half - math.lgamma(power + 1))
    return min(total, 1.0)


@lru_cache(maxsize=1024)
def chi_square_quantile(share: float, degrees: int) -> float:
    """The value that chi-square stays below with this probability, by halving.

    Args:
        share: In (0, 1).
        degrees: Degrees of freedom, at least 1.
    """
    low, high = 0.0, 1.0
    while chi_square_tail(high, degrees) > 1 - share:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if chi_square_tail(middle, degrees) > 1 - share:
            low = middle
        else:
            high = middle
    return high


def holm(probabilities: Sequence[float]) -> list[float]:
    """Probabilities adjusted for their number, by Holm's steps.

    Whoever calls those below a level significant calls any wrongly with no more than that
    probability, however they depend on each other.
    """
    adjusted = [1.0] * len(probabilities)
    least = 0.0
    order = sorted(range(len(probabilities)), key=lambda it: probabilities[it])
    for step, place in enumerate(order):
        least = max(least, min(1.0, (len(order) - step) * probabilities[place]))
        adjusted[place] = least
    return adjusted
