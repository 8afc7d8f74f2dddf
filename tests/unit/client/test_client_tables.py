"""DataFrames: a copy comes back with its prices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from client import Client, InvalidRequest, NotFound


@pytest.fixture
def table():
    """Three houses of 16, 17 and 4 thousand USD, columns not in the contract's order."""
    return pd.DataFrame(
        {"town": ["a", "b", "a"], "LSTAT": [10, 4, 0], "RM": [6.0, 5.0, 1.0], "AGE": [3, 1, 0]},
        index=["x", "y", "x"],
    )


def test_a_table_comes_back_with_its_prices(client, table):
    before = table.copy()
    priced = client.predict(table)
    expected = table.assign(price=[16.0, 17.0, 4.0])
    pd.testing.assert_frame_equal(priced, expected)
    pd.testing.assert_frame_equal(table, before)


def test_an_empty_table_gains_the_column(client, table):
    priced = client.predict(table.iloc[:0])
    assert list(priced.columns) == ["town", "LSTAT", "RM", "AGE", "price"]
    assert priced["price"].dtype == np.float64


def test_a_table_goes_as_rows_in_the_contracts_order_to_one_version(client, hearth, table):
    client.predict(table)
    assert hearth.bodies[0] == {"instances": [[6.0, 3.0, 10.0], [5.0, 1.0, 4.0]]}
    assert {path for path in hearth.paths if path.endswith(":predict")} == {
        "/v1/models/housing/versions/3:predict"
    }


def test_the_contract_of_a_version_is_asked_for_once(client, hearth, table):
    client.predict(table)
    client.predict(table)
    assert sum(path.endswith("/contract") for path in hearth.paths) == 1


def test_a_new_version_with_other_columns_is_noticed(client, hearth, table):
    client.predict(table)
    hearth.versions = {3: "END", 4: "AVAILABLE"}
    hearth.names = ("LSTAT", "RM", "AGE")
    assert client.predict(table)["price"].tolist() == [16, 17, 4]


def test_a_version_that_goes_meanwhile_is_replaced_for_the_whole_table(client, hearth, table):
    answer = hearth.predict

    def swap_at_the_second_chunk(path, instances):
        if len(hearth.bodies) == 2:
            hearth.versions = {4: "AVAILABLE"}
        return answer(path, instances)

    hearth.predict = swap_at_the_second_chunk
    assert client.predict(table)["price"].tolist() == [16, 17, 4]
    predicts = [path for path in hearth.paths if path.endswith(":predict")]
    assert predicts == [f"/v1/models/housing/versions/{n}:predict" for n in (3, 3, 4, 4)]


def test_a_fixed_version_that_goes_is_not_replaced(hearth, table):
    client = Client(transport=hearth, version=2)
    with pytest.raises(NotFound):
        client.predict(table)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("RM", [6, np.nan, 1], "row 'y', column RM: .*nan.* is not a finite number"),
        ("RM", ["6", "six", "1"], "row 'y', column RM: 'six' is not a finite number"),
        ("RM", [6, None, "x"], "row 'y', column RM: None is not"),
        ("AGE", [0, np.inf, 0], "row 'y', column AGE: .*inf.* is not"),
        ("LSTAT", pd.array([1, None, 3], dtype="Int64"), "row 'y', column LSTAT: <NA> is not"),
        ("AGE", pd.to_datetime(["2020-01-01"] * 3), "column AGE holds datetime64"),
        ("price", [1, 2, 3], "there is a column price already"),
    ],
)
def test_a_bad_column_is_named_with_its_row_before_anything_is_sent(
    client, hearth, table, column, values, message
):
    with pytest.raises(InvalidRequest, match=message):
        client.predict(table.assign(**{column: values}))
    assert hearth.bodies == []


def test_a_missing_column_is_named(client, table):
    with pytest.raises(InvalidRequest, match="no column RM, AGE: the columns are town, LSTAT"):
        client.predict(table.drop(columns=["RM", "AGE"]))


def test_a_needed_column_that_is_there_twice_is_refused(client, table):
    with pytest.raises(InvalidRequest, match="column RM is there more than once"):
        client.predict(pd.concat([table, table[["RM"]]], axis="columns"))


def test_a_text_that_is_a_number_counts_as_one(client, table):
    texts = table.astype({"RM": "str", "AGE": "category"})
    assert client.predict(texts)["price"].tolist() == [16, 17, 4]


def test_the_row_of_a_refused_table_is_counted_from_its_beginning(client, table):
    with pytest.raises(InvalidRequest, match=r"instances\[2\].AGE") as caught:
        client.predict(table.assign(AGE=[1, 2, 300]))
    assert caught.value.row == 2


def test_without_a_contract_rows_work_and_a_table_is_told_why_not(client, hearth, table):
    hearth.describes = False
    assert client.predict([6, 3, 10]) == 16.0
    with pytest.raises(InvalidRequest, match=r"describes no contract .* give dicts or rows"):
        client.predict(table)


def test_a_table_for_an_unknown_model_says_that_it_is_the_model(hearth, table):
    with pytest.raises(NotFound):
        Client(model="castle", transport=hearth).predict(table)
