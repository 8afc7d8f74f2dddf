"""How good the network is, beside what anyone gets for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from training.errors import NotBetterError

if TYPE_CHECKING:
    from training.split import Rows, Split

# A batch [n, features] to prices [n], thousand USD.
Predictor = Callable[[NDArray[np.float32]], NDArray[np.floating]]
# By data set, then predictor, then metric.
Metrics = dict[str, dict[str, dict[str, float]]]

_MUST_BEAT: Final = ("mse", "mae")


def evaluate(network: Predictor, split: Split) -> Metrics:
    """Measure the network, predict-the-mean and a linear regression on both sides of a split.

    Args:
        network: The trained network.
        split: The baselines learn from its training rows alone.

    Returns:
        By data set (``train``, ``test``), predictor (``network``, ``mean``, ``linear``)
        and metric: ``mse`` in squared thousand USD, ``mae`` in thousand USD, ``r2``.
    """
    predictors = {"network": network, "mean": mean(split.train), "linear": linear(split.train)}
    return {
        side: {
            name: measure(rows.prices, predict(rows.batch)) for name, predict in predictors.items()
        }
        for side, rows in (("train", split.train), ("test", split.test))
    }


def measure(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> dict[str, float]:
    """Compare prices with what was predicted for them.

    Args:
        truth: ``[n]``, thousand USD.
        predicted: ``[n]``, thousand USD.

    Returns:
        ``mse``, ``mae`` and ``r2`` (1 is perfect, 0 is as good as the mean of ``truth``).
    """
    return {
        "mse": float(mean_squared_error(truth, predicted)),
        "mae": float(mean_absolute_error(truth, predicted)),
        "r2": float(r2_score(truth, predicted)),
    }


def mean(train: Rows) -> Predictor:
    """Predict the training rows' mean price, whatever is asked."""
    typical = train.prices.mean()
    return lambda batch: np.full(len(batch), typical)


def linear(train: Rows) -> Predictor:
    """Predict by ordinary least squares over the training rows."""
    regression = LinearRegression().fit(train.batch.astype(np.float64), train.prices)
    return lambda batch: np.asarray(regression.predict(batch.astype(np.float64)))


def require_better_than_mean(metrics: Metrics) -> None:
    """Refuse a network that learned nothing.

    Args:
        metrics: As ``evaluate`` gives them.

    Raises:
        NotBetterError: Predicting the mean does as well or better on the test rows.
    """
    network, baseline = metrics["test"]["network"], metrics["test"]["mean"]
    for name in _MUST_BEAT:
        if not network[name] < baseline[name]:
            raise NotBetterError(
                f"the network's test {name.upper()} is {network[name]:.4g}, not below the "
                f"{baseline[name]:.4g} of predicting the mean"
            )
