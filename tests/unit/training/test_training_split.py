from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import table
from training.split import order, split

DATA = Path(__file__).parents[3] / "data" / "boston_housing.csv"
ALL = (
    "CRIM",
    "ZN",
    "INDUS",
    "CHAS",
    "NOX",
    "RM",
    "AGE",
    "DIS",
    "RAD",
    "TAX",
    "PTRATIO",
    "B",
    "LSTAT",
)

# The first row of keras.datasets.boston_housing.load_data().
FIRST = [1.23247, 0, 8.14, 0, 0.538, 6.142, 91.7, 3.9769, 4, 307, 21, 396.9, 18.72]


@pytest.fixture(scope="module")
def housing():
    return table.read(DATA.read_bytes(), DATA.name)


def test_split_is_that_of_keras(housing):
    made = split(housing, ALL, seed=113, train_share=0.8)

    assert len(made.train.frame) == 404
    assert len(made.test.frame) == 102
    assert made.train.frame[list(ALL)].iloc[0].tolist() == FIRST
    assert made.train.prices[0] == 15.2


def test_batch_has_the_features_in_the_order_asked_for(housing):
    made = split(housing, ("LSTAT", "RM"), seed=113, train_share=0.8)

    assert made.train.batch.shape == (404, 2)
    assert made.train.batch.dtype == "float32"
    assert made.train.batch[0].tolist() == pytest.approx([18.72, 6.142])


def test_no_tract_is_on_both_sides(housing):
    made = split(housing, ALL, seed=7, train_share=0.5)

    lines = [*made.train.frame.index, *made.test.frame.index]
    assert sorted(lines) == list(range(2, 508))


@given(rows=st.integers(0, 600), seed=st.integers(0, 2**32 - 1))
def test_every_row_is_drawn_once(rows, seed):
    assert sorted(order(rows, seed)) == list(range(rows))


def test_another_seed_draws_another_split():
    assert order(506, 113).tolist() != order(506, 114).tolist()
