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
    from training.encoding import Encoding
    from training.split import Rows, Split

# A batch [n, features] to prices [n], in the target's unit.
Predictor = Callable[[NDArray[np.float32]], NDArray[np.floating]]
# By data set, then predictor, then metric.
Metrics = dict[str, dict[str, dict[str, float]]]

_MUST_BEAT: Final = ("mse", "mae")


def evaluate(network: Predictor, split: Split, encoding: Encoding | None = None) -> Metrics:
    """Measure the network, predict-the-mean and a linear regression on both sides of a split.

    Args:
        network: The trained network.
        split: The baselines learn from its training rows alone.
        encoding: How the network reads rows, if not as they are; the regression reads them so.

    Returns:
        By data set (``train``, ``test``), predictor (``network``, ``mean``, ``linear``)
        and metric: ``mse`` in the target's unit squared, ``mae`` in the unit, ``r2``.
    """
    predictors = {
        "network": network,
        "mean": mean(split.train),
        "linear": linear(split.train, encoding),
    }
    return {
        side: {
            name: measure(rows.prices, predict(rows.batch)) for name, predict in predictors.items()
        }
        for side, rows in (("train", split.train), ("test", split.test))
    }


def measure(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> dict[str, float]:
    """Compare prices with what was predicted for them.

    Args:
        truth: ``[n]``, in the target's unit.
        predicted: ``[n]``, in the target's unit.

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


def linear(train: Rows, encoding: Encoding | None = None) -> Predictor:
    """Predict by ordinary least squares over the training rows."""

    def read(batch: NDArray[np.float32]) -> NDArray[np.float64]:
        return (batch if encoding is None else encoding.expand(batch)).astype(np.float64)

    regression = LinearRegression().fit(read(train.batch), train.prices)
    return lambda batch: np.asarray(regression.predict(read(batch)))


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
