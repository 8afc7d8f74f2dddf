"""The closed forms are those of SciPy, and the index behaves as its papers say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from service.monitoring import stability

DECILES = np.full(10, 0.1)


@given(statistic=st.floats(0, 500), degrees=st.integers(1, 60))
def test_the_tail_is_scipys(statistic, degrees):
    ours = stability.chi_square_tail(statistic, degrees)

    assert ours == pytest.approx(stats.chi2.sf(statistic, degrees), rel=1e-9, abs=1e-300)


@given(share=st.floats(0.01, 0.9999), degrees=st.integers(1, 60))
def test_the_quantile_is_scipys(share, degrees):
    ours = stability.chi_square_quantile(share, degrees)

    assert ours == pytest.approx(stats.chi2.ppf(share, degrees), rel=1e-7)


def test_without_degrees_of_freedom_nothing_is_improbable():
    assert stability.chi_square_tail(5.0, 0) == 1.0
    assert stability.index_quantile(0.999, 10, 10, 0) == 0.0


@given(
    here=st.lists(st.integers(0, 500), min_size=2, max_size=12),
    there=st.lists(st.integers(0, 500), min_size=12, max_size=12),
)
def test_two_samples_are_compared_as_scipy_compares_a_table(here, there):
    table = np.array([here, there[: len(here)]])
    held = table[:, table.sum(axis=0) > 0]
    if not table.sum(axis=1).all() or held.shape[1] < 2:
        return

    statistic, degrees = stability.two_sample(table[0], table[1].astype(float))

    expected = stats.chi2_contingency(held, correction=False)
    assert statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)
    assert degrees == expected.dof


def test_the_index_is_worked_out_by_hand():
    # Shares (0.2, 0.8) and (0.5, 0.5): -0.3 ln 0.4 + 0.3 ln 1.6 = 0.3 ln 4.
    index = stability.stability_index(np.array([20_000, 80_000]), np.array([50_000.0, 50_000.0]))

    assert index == pytest.approx(0.3 * math.log(4), rel=1e-3)


def test_an_empty_bin_has_an_index_too():
    index = stability.stability_index(np.array([0, 100]), np.array([50.0, 50.0]))

    assert math.isfinite(index)
    assert index > 1


@pytest.mark.parametrize(("rows", "reference"), [(200, 400), (2000, 400), (1000, 1000)])
def test_without_drift_the_index_exceeds_its_quantiles_as_often_as_it_should(rows, reference):
    random = np.random.default_rng(11)
    exceeded = 0
    limit = stability.index_quantile(0.95, rows, reference, 9)
    for _ in range(2000):
        here, there = random.multinomial(rows, DECILES), random.multinomial(reference, DECILES)
        exceeded += stability.stability_index(here, there.astype(float)) > limit

    # Binomial with p = 0.05: its standard deviation is 0.005.
    assert exceeded / 2000 == pytest.approx(0.05, abs=0.02)


def test_probabilities_are_adjusted_as_in_holms_paper():
    # By hand: 3 x 0.01, then 2 x 0.02 and the 0.03 before it, then 1 x 0.5.
    assert stability.holm([0.02, 0.5, 0.01]) == pytest.approx([0.04, 0.5, 0.03])
    assert stability.holm([0.4, 0.3]) == pytest.approx([0.6, 0.6])
    assert stability.holm([]) == []
