from __future__ import annotations

import statistics

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training import describe, evaluate
from training.errors import NotBetterError
from training.split import Rows, Split


def rows(rooms, prices) -> Rows:
    return Rows(pd.DataFrame({"RM": rooms, "MEDV": prices}), ("RM",))


# Learned from: price = 2 RM + 1, exactly.
TRAIN = rows([1.0, 2.0, 3.0], [3.0, 5.0, 7.0])
TEST = rows([4.0, 5.0], [10.0, 12.0])


def test_metrics_worked_out_by_hand():
    # Errors 1, -2 and 0; the truth's mean is 4, its squared distances from it 4, 0 and 4.
    found = evaluate.measure(np.array([2.0, 4.0, 6.0]), np.array([3.0, 2.0, 6.0]))

    assert found == pytest.approx({"mse": 5 / 3, "mae": 1.0, "r2": 1 - 5 / 8})


@given(arrays(float, 7, elements=st.floats(0.1, 50)), arrays(float, 7, elements=st.floats(0.1, 50)))
def test_metrics_follow_their_formulas(truth, predicted):
    found = evaluate.measure(truth, predicted)

    assert found["mse"] == pytest.approx(((predicted - truth) ** 2).mean())
    assert found["mae"] == pytest.approx(abs(predicted - truth).mean())
    if truth.std() > 1e-3:
        assert found["r2"] == pytest.approx(1 - found["mse"] / truth.std() ** 2)


def test_network_and_baselines_are_measured_on_both_sides():
    found = evaluate.evaluate(lambda batch: batch[:, 0] * 3, Split(TRAIN, TEST))

    # The mean of the training prices is 5; the line is 2 RM + 1, one below the test prices.
    assert found["test"]["mean"]["mae"] == pytest.approx(6)
    assert found["test"]["mean"]["mse"] == pytest.approx((25 + 49) / 2)
    assert found["test"]["linear"] == pytest.approx({"mse": 1, "mae": 1, "r2": 0})
    assert found["train"]["linear"]["mse"] == pytest.approx(0)
    assert found["train"]["mean"]["r2"] == pytest.approx(0)
    assert found["test"]["network"]["mae"] == pytest.approx(2.5)
    assert found["train"]["network"]["mse"] == pytest.approx((0 + 1 + 4) / 3)


def metrics(mse: float, mae: float) -> evaluate.Metrics:
    """The network's, beside a mean whose MSE is 80 and MAE 6."""
    return {"test": {"network": {"mse": mse, "mae": mae}, "mean": {"mse": 80.0, "mae": 6.0}}}


def test_network_better_than_the_mean_passes():
    evaluate.require_better_than_mean(metrics(79.9, 5.9))


@pytest.mark.parametrize(
    ("mse", "mae", "problem"),
    [
        (80.0, 5.0, "test MSE is 80, not below the 80 of predicting the mean"),
        (70.0, 6.1, "test MAE is 6.1, not below the 6 of predicting the mean"),
        (float("nan"), 5.0, "test MSE is nan, not below"),
    ],
)
def test_network_no_better_than_the_mean_is_refused(mse, mae, problem):
    with pytest.raises(NotBetterError, match=problem):
        evaluate.require_better_than_mean(metrics(mse, mae))


@given(st.lists(st.floats(-1000, 1000), min_size=2, max_size=50))
def test_distribution_is_that_of_the_statistics_module(values):
    found = describe.distribution(np.array(values))

    assert (found.minimum, found.maximum) == (min(values), max(values))
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert found.std == pytest.approx(statistics.pstdev(values), abs=1e-6)
    assert found.median == pytest.approx(statistics.median(values), abs=1e-9)
    inner = statistics.quantiles(values, n=10, method="inclusive")
    assert found.deciles == pytest.approx([min(values), *inner, max(values)], abs=1e-9)


def test_golden_rows_are_unseen_rows_and_the_extremes_of_the_seen():
    seen = Rows(pd.DataFrame({"RM": [4.0, 9.0, 5.0], "AGE": [80.0, 10.0, 30.0]}), ("RM", "AGE"))
    unseen = Rows(pd.DataFrame({"RM": range(20), "AGE": range(20)}), ("RM", "AGE"))

    found = describe.golden_rows(seen, unseen)

    assert found.tolist() == [*([i, i] for i in range(10)), [4.0, 10.0], [9.0, 80.0]]
