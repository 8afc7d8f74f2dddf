"""The bins that training leaves for the service."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import histogram


def test_many_values_are_cut_at_their_deciles():
    values = np.arange(101.0)

    bounds = histogram.edges(values)

    assert bounds == (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    # [0, 10] holds eleven values, every other bin ten.
    assert histogram.shares(values, bounds) == pytest.approx([11 / 101, *[10 / 101] * 9])


def test_a_value_that_fills_several_deciles_bounds_one_bin():
    values = np.concatenate([np.zeros(75), np.arange(1.0, 26.0)])

    bounds = histogram.edges(values)

    assert bounds[0] == 0
    assert len(set(bounds)) == len(bounds) == 4
    assert histogram.shares(values, bounds)[0] == pytest.approx(0.8, abs=0.011)


def test_few_values_have_a_bin_each():
    values = np.array([0.0] * 93 + [1.0] * 7)

    assert histogram.edges(values) == (0, 0.5, 1)
    assert histogram.shares(values, (0, 0.5, 1)) == (0.93, 0.07)


def test_one_value_is_a_bin_of_its_own():
    assert histogram.edges(np.full(9, 4.5)) == (4.5, 4.5)
    assert histogram.shares(np.full(9, 4.5), (4.5, 4.5)) == (1.0,)


def test_bounds_are_decimals_that_are_read_as_the_same_float32():
    values = np.repeat([20.2, 15.1, 17.3], 5)

    assert histogram.edges(values)[0] == 15.1
    assert histogram.edges(values)[-1] == 20.2
    # As float32 20.2 is greater than as float64, and must not be above its own bin.
    assert sum(histogram.shares(values, histogram.edges(values))) == 1


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200))
def test_bounds_ascend_and_hold_every_value(values):
    values = np.array(values)

    bounds = histogram.edges(values)
    shares = histogram.shares(values, bounds)

    assert bounds[0] == pytest.approx(values.min())
    assert bounds[-1] == pytest.approx(values.max())
    assert len(bounds) == len(shares) + 1
    assert len(shares) == 1 or (np.diff(bounds) > 0).all()
    assert sum(shares) == pytest.approx(1)
