"""The rows that explanations compare with, and when a row is unlike all of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import table
from training.background import background, choose, distance_limit, nearest
from training.split import Rows, split

DATA = Path(__file__).parents[3] / "data" / "boston_housing.csv"
FEATURES = ("RM", "AGE", "LSTAT")


@pytest.fixture(scope="module")
def train():
    return split(table.read(DATA.read_bytes(), DATA.name), FEATURES, 113, 0.8).train


def test_a_hundred_rows_are_chosen_whose_prices_are_spread_as_all_are(train):
    prices = train.prices[choose(train.prices)]

    assert len(prices) == 100
    assert prices.tolist() == sorted(prices.tolist())
    assert prices.mean() == pytest.approx(train.prices.mean(), rel=0.01)
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(prices, share) == pytest.approx(
            np.quantile(train.prices, share), abs=1.0
        )


def test_the_middle_row_of_each_part_is_taken():
    """Of 300 rows sorted by price: 1, 4, 7 and so on."""
    prices = np.arange(300.0)[::-1]

    chosen = choose(prices)

    assert prices[chosen].tolist() == list(range(1, 300, 3))


@given(st.integers(1, 400))
def test_no_row_is_chosen_twice(count):
    chosen = choose(np.zeros(count))

    assert len(set(chosen.tolist())) == len(chosen) == min(count, 100)


def test_it_is_the_same_every_time_and_holds_rows_of_the_table(train):
    made = background(train)

    assert made == background(train)
    rows = {tuple(row) for row in train.batch.tolist()}
    assert {tuple(np.float32(row).tolist()) for row in made.instances} <= rows
    assert made.scales == pytest.approx(train.frame[list(FEATURES)].std(ddof=0).tolist(), rel=1e-6)
    assert made.false_alarms == 0.01


def test_the_distance_is_the_root_mean_square_in_standard_deviations():
    rows = np.array([[0, 0], [3, 8]], np.float32)

    # To (0, 0): 1 and 2 deviations; to (3, 8): 0.5 and 2.
    assert nearest(np.array([2, 4], np.float32), rows, np.array([2.0, 2.0])) == pytest.approx(
        math.sqrt((0.25 + 4) / 2)
    )


def test_a_missing_value_is_one_away_from_any_other_and_none_from_another_missing_one():
    rows = np.array([[np.nan, 1]], np.float32)
    scales = np.array([0.1, 1.0])

    assert nearest(np.array([5, 1], np.float32), rows, scales) == pytest.approx(math.sqrt(0.5))
    assert nearest(np.array([np.nan, 1], np.float32), rows, scales) == 0


def test_a_column_that_never_changes_has_no_scale_and_a_change_in_it_counts_one():
    frame = pd.DataFrame({"a": [1.0, 1.0], "b": [0.0, 2.0], "MEDV": [1.0, 2.0]})

    made = background(Rows(frame, ("a", "b")))

    assert made.scales == (None, 1.0)
    assert nearest(
        np.array([3, 0], np.float32), np.array([[1, 0]], np.float32), np.array([np.nan, 1.0])
    ) == pytest.approx(math.sqrt(0.5))


def test_few_rows_tell_no_limit():
    """For one in a hundred ninety-nine are needed: a new row is the largest of a hundred then."""
    assert distance_limit([1.0] * 98) is None
    assert distance_limit([float(it) for it in range(99)]) == 98.0
    assert distance_limit([float(it) for it in range(199)]) == 197.0


def test_new_rows_exceed_the_limit_about_as_often_as_it_says():
    """Of 300 rows to find it and 1000 new ones, over and over: one in a hundred or fewer."""
    random = np.random.default_rng(4)
    beyond = []
    for _ in range(50):
        found = distance_limit(random.exponential(size=300).tolist())
        beyond.append((random.exponential(size=1000) > found).mean())

    # The expected share is 1 - 298/301 = 0.997 %.
    assert np.mean(beyond) == pytest.approx(0.01, abs=0.003)


def test_held_out_tracts_are_called_unusual_about_as_rarely(train):
    held_out = split(table.read(DATA.read_bytes(), DATA.name), FEATURES, 113, 0.8).test
    made = background(train)
    rows, scales = np.float32(made.instances), np.array(made.scales)

    beyond = [nearest(it, rows, scales) > made.distance_limit for it in held_out.batch]

    assert sum(beyond) <= 4  # of 102; five or more would come about once in 250 times
