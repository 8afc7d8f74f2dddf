"""What a row becomes, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.columns import Column
from training.encoding import encoding

NAN = float("nan")
ROOMS = Column("rooms", "rooms", "", 0, 10)
AREA = Column("area", "area", "m²", 0, 500, fill=70.0, optional=True)
TOWN = Column("town", "town", "", 0, 2, kind="category", categories=("A", "B"))
HEAT = Column("heat", "heat", "", 0, 1, kind="category", categories=("gas",), optional=True)


def expand(columns: list[Column], training: list[list[float]], row: list[float]) -> list[float]:
    made = encoding(columns, np.array(training, np.float32))
    assert made is not None
    return made.expand(np.array([row], np.float32))[0].tolist()


def test_plain_numbers_need_no_encoding():
    assert encoding([ROOMS], np.ones((3, 1), np.float32)) is None


def test_missing_number_is_the_median_and_a_sign():
    training = [[50.0], [NAN], [90.0]]

    assert expand([AREA], training, [80]) == [80, 0]
    assert expand([AREA], training, [NAN]) == [70, 1]


def test_known_category_is_one_at_its_place():
    training = [[0, 3], [0, 4], [1, 5], [0, 6]]

    assert expand([TOWN, ROOMS], training, [0, 7]) == [1, 0, 7]
    assert expand([TOWN, ROOMS], training, [1, 7]) == [0, 1, 7]


def test_unknown_category_is_the_mean_of_the_known():
    # Three of the four rows with a known category are A; the fifth is unknown itself.
    assert expand([TOWN], [[0], [0], [1], [0], [2]], [2]) == [0.75, 0.25]


def test_missing_category_has_a_place_of_its_own():
    training = [[0], [NAN], [0], [0]]

    assert expand([HEAT], training, [NAN]) == [0, 1]
    assert expand([HEAT], training, [0]) == [1, 0]
    assert expand([HEAT], training, [1]) == [0.75, 0.25]


def test_missing_number_that_may_not_be_is_not_made_up():
    answer = expand([ROOMS, TOWN], [[1, 0], [2, 1]], [NAN, 0])

    assert np.isnan(answer[0])
    assert answer[1:] == [1, 0]


@pytest.mark.parametrize("column", [AREA, HEAT])
def test_missing_value_that_no_training_row_had_pulls_nowhere(column):
    """No row taught the network what the sign means, so that it is not given."""
    training = [[0.0], [0.0]]
    expected = {"area": [70], "heat": [1]}

    assert expand([column], training, [NAN]) == expected[column.name]
