"""Figures with their confidence intervals, on rows and on kinds of rows.

All intervals are 95 % bootstrap intervals: the rows are drawn anew with replacement, always
by the same seed, and the figure is worked out each time.

References:
    Efron, Better bootstrap confidence intervals, Journal of the American Statistical
    Association 82 (1987): the bias-corrected and accelerated interval. Beyond 2,000 rows, where
    the corrections vanish and its jackknife takes time and memory by the square of the rows,
    the percentiles themselves.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import stats

from service.contract import Estimate, Slice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from training.data_card import Group

ALL: Final = "all"
LEVEL: Final = 0.95
LEAST_ROWS: Final = 8  # fewer say too little for an interval
_RESAMPLES: Final = 2000
_MOST_CORRECTED: Final = 2000  # rows
_AT_ONCE: Final = 4_000_000  # numbers drawn at once, where there are more rows


def kinds(
    frame: pd.DataFrame, truth: NDArray[np.floating], groups: Sequence[Group]
) -> dict[str, NDArray[np.bool_]]:
    """Which rows are of which kind; kinds without a row are left out.

    Args:
        frame: The rows, ``n``.
        truth: What is to be predicted for them, ``[n]``.
        groups: Kinds that the table's description names.

    Returns:
        ``[n]`` by name: all rows first, then thirds by truth, then the groups.
    """
    found = {ALL: np.ones(len(truth), bool), **_thirds(truth)}
    found |= {it.name: it.holds(frame) for it in groups}
    return {name: those for name, those in found.items() if those.any()}


def slices(
    of_kind: Mapping[str, NDArray[np.bool_]],
    truth: NDArray[np.floating],
    predicted: NDArray[np.floating],
) -> list[Slice]:
    """Measure a network on each kind of rows.

    Args:
        of_kind: As ``kinds`` gives them.
        truth: ``[n]``, in the target's unit.
        predicted: What the network predicts, ``[n]``.
    """
    return [
        measure(name, truth[those], predicted[those], whole=name == ALL)
        for name, those in of_kind.items()
    ]


def measure(
    name: str, truth: NDArray[np.floating], predicted: NDArray[np.floating], *, whole: bool
) -> Slice:
    """Measure the network on some rows.

    Args:
        name: What they are called.
        truth: ``[n]``, at least one.
        predicted: ``[n]``.
        whole: Whether they are all the rows, so that R2 says something.
    """
    errors = predicted.astype(np.float64) - truth
    metrics = {
        "mae": mean(np.abs(errors)),
        "mse": mean(errors**2),
        "bias": mean(errors),
    }
    if whole:
        metrics["r2"] = _interval(_r2, truth.astype(np.float64), errors)
    return Slice(name, len(truth), metrics)


def mean(values: NDArray[np.float64]) -> Estimate:
    """The mean of some values, and its interval.

    Args:
        values: ``[n]``, at least one.
    """
    return _interval(_mean, values)


def _thirds(truth: NDArray[np.floating]) -> dict[str, NDArray[np.bool_]]:
    """The rows whose truth is in the lowest, the middle and the highest third."""
    low, high = np.quantile(truth, [1 / 3, 2 / 3])
    return {
        f"truth up to {low:.4g}": truth <= low,
        f"truth from {low:.4g} to {high:.4g}": (truth > low) & (truth <= high),
        f"truth above {high:.4g}": truth > high,
    }


def _interval(figure: Callable[..., Any], *samples: NDArray[np.float64]) -> Estimate:
    value, rows = float(figure(*samples)), len(samples[0])
    # Where all rows say the same there is nothing to draw.
    if rows < LEAST_ROWS or all(np.ptp(it) == 0 for it in samples):
        return Estimate(value)
    many = rows > _MOST_CORRECTED
    with warnings.catch_warnings():
        # Its warning says what its answer does: there is no such interval.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap(
            samples,
            figure,
            paired=True,
            vectorized=True,
            n_resamples=_RESAMPLES,
            confidence_level=LEVEL,
            method="percentile" if many else "BCa",
            batch=max(1, _AT_ONCE // rows) if many else None,
            rng=np.random.default_rng(0),
        ).confidence_interval
    low, high = float(drawn.low), float(drawn.high)
    return Estimate(value, low, high) if math.isfinite(low + high) else Estimate(value)


def _mean(values: NDArray[np.float64], axis: int = -1) -> Any:
    return values.mean(axis=axis)


def _r2(truth: NDArray[np.float64], errors: NDArray[np.float64], axis: int = -1) -> Any:
    spread = truth.var(axis=axis)
    return 1 - (errors**2).mean(axis=axis) / np.where(spread == 0, np.nan, spread)
