"""Houses in every form, and the prices that come back."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import Client, Interval, InvalidRequest, NotFound, Response, ServerFault
from client._houses import rows_of

# 6 * 4 - 3 - 10 / 2 and 5 * 4 - 1 - 4 / 2
FIRST = {"RM": 6, "AGE": 3, "LSTAT": 10}
SECOND = {"RM": 5, "AGE": 1, "LSTAT": 4}
PRICES = [16.0, 17.0]


@dataclass
class Tract:
    RM: float
    AGE: float
    LSTAT: float


class Row(NamedTuple):
    RM: float
    AGE: float
    LSTAT: float


@pytest.mark.parametrize(
    "house",
    [
        FIRST,
        {"LSTAT": 10, "RM": 6, "AGE": 3},
        Tract(6, 3, 10),
        [6, 3, 10],
        (6.0, 3.0, 10.0),
        Row(6, 3, 10),
        np.array([6.0, 3.0, 10.0]),
        np.array([6, 3, 10], dtype=np.int8),
        pd.Series(FIRST),
        {"RM": np.float32(6), "AGE": np.int64(3), "LSTAT": np.float64(10)},
        {"RM": Decimal(6), "AGE": Fraction(3), "LSTAT": 10},
    ],
    ids=lambda house: type(house).__name__,
)
def test_one_house_gives_a_float(client, house):
    price = client.predict(house)
    assert type(price) is float
    assert price == 16.0


@pytest.mark.parametrize(
    "houses",
    [
        [FIRST, SECOND],
        (FIRST, SECOND),
        [Tract(6, 3, 10), Tract(5, 1, 4)],
        [[6, 3, 10], [5, 1, 4]],
        [np.array([6, 3, 10]), np.array([5, 1, 4])],
        [Row(6, 3, 10), Row(5, 1, 4)],
    ],
)
def test_a_list_of_houses_gives_a_list_of_floats(client, houses):
    assert client.predict(houses) == PRICES


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8"])
def test_an_array_gives_an_array(client, dtype):
    prices = client.predict(np.array([[6, 3, 10], [5, 1, 4]], dtype=dtype))
    assert prices.dtype == np.float64
    np.testing.assert_array_equal(prices, PRICES)


@pytest.mark.parametrize("house", [FIRST, [6, 3, 10], np.array([6.0, 3.0, 10.0])])
def test_a_level_gives_one_house_its_interval(client, hearth, house):
    found = client.predict(house, level=0.9)

    assert found == Interval(price=16.0, lower=-74.0, upper=106.0)
    assert {type(it) for it in found} == {float}
    # TensorFlow Serving would know the signature, Hearth knows both.
    asked = {"signature_name": "interval_90", "level": 0.9}
    assert {name: hearth.bodies[0][name] for name in asked} == asked


def test_a_level_gives_a_list_a_list_of_intervals(client):
    found = client.predict([FIRST, SECOND, FIRST], level=0.8)

    assert found == [(16.0, -64.0, 96.0), (17.0, -63.0, 97.0), (16.0, -64.0, 96.0)]
    assert {type(it) for it in found} == {Interval}


def test_a_level_gives_an_array_an_interval_of_arrays(client):
    found = client.predict(np.array([[6, 3, 10], [5, 1, 4]]), level=0.95)

    assert type(found) is Interval
    np.testing.assert_array_equal(found.price, PRICES)
    np.testing.assert_array_equal(found.lower, [-79, -78])
    np.testing.assert_array_equal(found.upper, [111, 112])


def test_a_level_gives_a_table_three_columns(client):
    table = pd.DataFrame([FIRST, SECOND], index=["a", "b"])

    found = client.predict(table, level=0.9)

    assert list(found.columns) == ["RM", "AGE", "LSTAT", "price", "lower", "upper"]
    assert found.loc["b"].tolist() == [5, 1, 4, 17, -73, 107]
    with pytest.raises(InvalidRequest, match="there is a column lower already"):
        client.predict(table.assign(lower=0), level=0.9)


def test_a_level_that_is_not_known_is_told_in_the_servers_words(client):
    with pytest.raises(InvalidRequest, match=r"level is 0\.5, known: 0\.8, 0\.9, 0\.95"):
        client.predict(FIRST, level=0.5)


def test_an_answer_without_bounds_is_the_servers_fault(client, hearth):
    """A server that passes the level over."""
    hearth.describes = False

    with pytest.raises(ServerFault, match=r"no price with lower and upper bound: \[16\.0\]"):
        client.predict(FIRST, level=0.9)


@pytest.mark.parametrize("houses", [[], ()])
def test_no_houses_give_no_prices_and_no_request(client, hearth, houses):
    assert client.predict(houses) == []
    assert hearth.requests == []


def test_an_empty_array_gives_an_empty_array(client, hearth):
    assert client.predict(np.empty((0, 3))).shape == (0,)
    assert hearth.requests == []


@pytest.mark.parametrize(
    ("houses", "message"),
    [
        ("RM=6", "houses is a str"),
        (6.0, "houses is a float"),
        (None, "houses is a NoneType"),
        (["RM"], r"houses\[0\] is a str"),
        ([FIRST, 5], r"houses\[1\] is a int"),
        (np.zeros((1, 2, 3)), r"float64 \[1, 2, 3\], not numbers \[n, k\] or \[k\]"),
        (np.array([["a", "b"]]), "not numbers"),
        (np.array([[6, 3, 10], [5, np.nan, 4]]), r"houses\[1\]\[1\] is nan"),
        (np.array([6, np.inf, 10]), r"houses\[1\] is inf"),
        ([FIRST, {**SECOND, "AGE": float("nan")}], r"instances\[1\].AGE is nan"),
        ([[6, 3, 10], [1, 2, object()]], r"instances\[1\]\[2\] is <object"),
        (FIRST | {"RM": 1j}, r"instances\[0\].RM is 1j"),
    ],
)
def test_what_is_no_house_is_named_and_not_sent(client, hearth, houses, message):
    with pytest.raises(InvalidRequest, match=message):
        client.predict(houses)
    assert hearth.requests == []


def test_a_table_of_another_library_is_refused_rather_than_read_by_position(client):
    class OtherTable:
        columns = ("LSTAT", "AGE", "RM")

        def __array__(self):
            return np.array([[10, 3, 6]])

    with pytest.raises(InvalidRequest, match="OtherTable"):
        client.predict(OtherTable())


def test_many_rows_go_in_chunks_and_come_back_in_order(client, hearth):
    rms = [4, 5, 6, 7, 8]
    prices = client.predict([{"RM": rm, "AGE": 0, "LSTAT": 0} for rm in rms])
    assert prices == [16, 20, 24, 28, 32]
    assert [len(body["instances"]) for body in hearth.bodies] == [2, 2, 1]


def test_an_error_names_the_row_in_the_callers_numbering(client):
    houses = [FIRST, FIRST, FIRST, {**FIRST, "AGE": 101}]
    with pytest.raises(InvalidRequest, match=r"instances\[3\].AGE is 101") as caught:
        client.predict(houses)
    assert caught.value.row == 3


def test_an_error_of_tensorflow_serving_is_renumbered_too(client, hearth):
    hearth.next.append(Response(200, {}, b'{"predictions": [1, 2]}'))
    text = b'{"error": "Failed to process element: 1 key: RM of \'instances\' list."}'
    hearth.next.append(Response(400, {}, text))
    with pytest.raises(InvalidRequest, match="element: 3 key: RM") as caught:
        client.predict([FIRST] * 4)
    assert caught.value.row == 3


def test_a_nan_in_a_later_chunk_is_named_in_the_callers_numbering(client):
    with pytest.raises(InvalidRequest, match=r"instances\[2\].RM is nan") as caught:
        client.predict([FIRST, FIRST, {**FIRST, "RM": float("nan")}])
    assert caught.value.row == 2


def test_the_signature_is_sent_where_one_is_chosen(hearth):
    Client(transport=hearth, signature_name="named").predict(FIRST)
    Client(transport=hearth).predict(FIRST)
    assert [body.get("signature_name") for body in hearth.bodies] == ["named", None]


@pytest.mark.parametrize(
    ("chosen", "path"),
    [
        ({}, "/v1/models/housing:predict"),
        ({"version": 3}, "/v1/models/housing/versions/3:predict"),
        ({"label": "best"}, "/v1/models/housing/labels/best:predict"),
    ],
)
def test_version_and_label_choose_the_route(hearth, chosen, path):
    assert Client(transport=hearth, **chosen).predict(FIRST) == 16.0
    assert hearth.paths == [path]


def test_names_are_escaped_in_the_route(hearth):
    with pytest.raises(NotFound):
        Client("http://h/base/", "a/b c", label="x:y", transport=hearth).predict(FIRST)
    assert hearth.requests[0].url == "http://h/base/v1/models/a%2Fb%20c/labels/x%3Ay:predict"


def test_a_network_that_ends_in_a_column_gives_its_numbers(client, hearth):
    hearth.next.append(Response(200, {}, b'{"predictions": [[1.5], [2]]}'))
    assert client.predict([FIRST, SECOND]) == [1.5, 2.0]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"predictions": [1]}',
        b'{"predictions": 1}',
        b'{"predictions": ["a", 2]}',
        b'{"predictions": [[1, 2], [3, 4]]}',
        b'{"predictions": [{"low": 1}, {"low": 1}]}',
        b'{"predictions": [true, false]}',
        b"\xff",
    ],
)
def test_an_answer_that_is_no_prices_is_the_servers_fault(client, hearth, body):
    hearth.next.append(Response(200, {"X-Request-Id": "abc"}, body))
    with pytest.raises(ServerFault) as caught:
        client.predict([FIRST, SECOND])
    assert (caught.value.status, caught.value.request_id) == (200, "abc")


numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1))
def test_every_form_of_the_same_houses_gives_the_same_rows(houses):
    listed, _ = rows_of([list(house) for house in houses])
    arrayed, _ = rows_of(np.array(houses))
    named, _ = rows_of([Tract(*house) for house in houses])
    assert listed == arrayed == [list(row.values()) for row in named]
