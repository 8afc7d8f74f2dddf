"""The forms of /invocations: the four of JSON, CSV, JSON Lines. A price is the sum of a row."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidRequest
from service.protocols import invocations
from tests.unit.service.fakes import SUM, SUM_BY_NAME, signature, spec

NAMES = ("RM", "AGE", "LSTAT")
HOUSES = [[6.0, 90.0, 20.0], [7.0, 40.0, 5.0]]
PRICES = {"predictions": [116.0, 52.0]}
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in HOUSES]
COLUMNS = {name: [row[index] for row in HOUSES] for index, name in enumerate(NAMES)}
CSV = b"RM,AGE,LSTAT\n6,90,20\n7.0,4e1,5\n"


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": [*NAMES], "index": [0, 1], "data": HOUSES}},
        {"dataframe_split": {"columns": [*NAMES], "data": HOUSES}},
        {"dataframe_split": {"data": HOUSES}},
        {"dataframe_records": RECORDS},
        {"instances": HOUSES},
        {"instances": RECORDS},
        {"instances": [{"features": row} for row in HOUSES]},
        {"inputs": HOUSES},
        {"inputs": {"features": HOUSES}},
        {"inputs": COLUMNS},
        {"inputs": RECORDS},
        {"instances": HOUSES, "params": {}},
        {"instances": HOUSES, "params": None},
        {"instances": HOUSES, "params": {"temperature": 0.5}},
        {"dataframe_records": RECORDS, "signature_name": "named"},
        {"dataframe_records": RECORDS, "params": {"signature_name": "named"}},
        {"inputs": COLUMNS, "params": {"signature_name": "named"}},
        {"instances": HOUSES, "unheard_of": 1},
    ],
)
def test_every_form_of_json_gives_the_same_prices(api, body):
    answered = api.invoke(body)

    assert (answered.status, answered.json()) == (200, PRICES)
    assert (answered.exchange.protocol, answered.exchange.route) == ("mlflow", "invocations")
    assert (answered.exchange.model, answered.exchange.rows) == ("housing", 2)


@pytest.mark.parametrize(
    "body",
    [
        CSV,
        CSV.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + CSV,
        CSV.rstrip(),
        b"LSTAT,RM,AGE\n20,6,90\n5,7,40\n",
        b",AGE,TAX,LSTAT,RM\n0,90,300,20,6\n1,40,300,5,7\n",
        b'"RM","AGE","LSTAT"\n"6","90","20"\n"7","40","5"\n',
        b"6,90,20\n7,40,5\n",
        b" 6 , 90 , 20 \n\n7,40,5\n\n",
    ],
)
def test_csv_has_names_or_numbers_alone(api, body):
    answered = api.invoke(body, Content_Type="text/csv")

    assert (answered.status, answered.json()) == (200, PRICES)


@pytest.mark.parametrize("kind", ["application/jsonlines", "application/x-jsonlines"])
@pytest.mark.parametrize(
    "body",
    [b"[6,90,20]\n[7,40,5]\n", b'{"RM":6,"LSTAT":20,"AGE":90}\n\n{"RM":7,"AGE":40,"LSTAT":5}'],
)
def test_json_lines_have_an_instance_a_line(api, kind, body):
    assert api.invoke(body, Content_Type=kind).json() == PRICES


def test_columns_go_by_name_and_those_that_are_not_known_are_passed_over(api):
    shuffled = [{"TAX": "high", "LSTAT": 20, "AGE": 90, "RM": 6, "": None}]

    assert api.invoke({"dataframe_records": shuffled}).json() == {"predictions": [116.0]}


def test_a_compressed_body_is_inflated_up_to_the_limit(api):
    body = gzip.compress(b'{"instances": [[6, 90, 20]]}')
    headers = {"Content_Type": "application/json", "Content_Encoding": "gzip"}

    assert api.invoke(body, **headers).json() == {"predictions": [116.0]}
    answered = api.invoke(gzip.compress(b" " * 10_000), **headers)
    assert (answered.status, answered.json()["error_code"]) == (413, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"dataframe_records": [{"RM": 6}]}, "missing columns: AGE, LSTAT; needed: RM, AGE, LSTAT"),
        ({"inputs": {"RM": [6]}}, "missing columns: AGE, LSTAT; needed: RM, AGE, LSTAT"),
        ({"inputs": {"RM": 6}}, "inputs.RM is a number, not a list"),
        (
            {"inputs": {**COLUMNS, "RM": [6]}},
            'the columns of inputs differ in length: {"RM": 1, "AGE": 2, "LSTAT": 2}',
        ),
        (
            {"instances": [[51, 90, 20]]},
            "instances[0].RM is 51 rooms, outside [0, 50]",
        ),
        (
            {"dataframe_records": [{"RM": "6", "AGE": 90, "LSTAT": 20}]},
            'dataframe_records[0].RM: JSON Value: "6" Type: String is not of expected type: float',
        ),
        (
            {"dataframe_records": [{"RM": None, "AGE": 90, "LSTAT": 20}]},
            "dataframe_records[0].RM: JSON Value: null Type: Null is not of expected type: float",
        ),
        (
            {"dataframe_records": [{"RM": True, "AGE": 90, "LSTAT": 20}]},
            "dataframe_records[0].RM: JSON Value: true Type: Bool is not of expected type: float",
        ),
        (
            {"dataframe_records": [{"RM": [6], "AGE": [90], "LSTAT": [20]}]},
            "dataframe_records[0].RM is a list, not a value",
        ),
        (
            {"instances": HOUSES, "signature_name": "x"},
            'Serving signature name: "x" not found in signature def',
        ),
    ],
)
def test_what_does_not_suit_the_model_is_named(api, body, message):
    answered = api.invoke(body)

    assert answered.status == 400
    assert answered.json() == {"error_code": "INVALID_PARAMETER_VALUE", "message": message}


REQUIRED = (
    "The input must be a JSON dictionary with exactly one of the input fields "
    "dataframe_split, dataframe_records, instances, inputs. Received "
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([[6, 90, 20]], f"{REQUIRED}a list."),
        (7, f"{REQUIRED}a number."),
        ({}, f'{REQUIRED}dictionary with input fields: "".'),
        ({"x": 1, "messages": []}, f'{REQUIRED}dictionary with input fields: "x, messages".'),
        (
            {"inputs": [1], "instances": [1]},
            f'{REQUIRED}dictionary with input fields: "inputs, instances".',
        ),
        (b"{", "JSON Parse error: Missing a name for object member. at offset: 1"),
        (b"", "JSON Parse error: The document is empty"),
        ({"instances": HOUSES, "params": 3}, "params is a number, not an object"),
        ({"instances": HOUSES, "signature_name": 3}, "signature_name is a number, not a string"),
        ({"dataframe_records": {}}, "dataframe_records is an object, not a list"),
        ({"dataframe_records": []}, "dataframe_records has no rows"),
        (
            {"dataframe_records": [*RECORDS, {"RM": 6, "LSTAT": 1}]},
            'dataframe_records[2] lacks the column "AGE"',
        ),
        ({"dataframe_records": [[1]]}, "dataframe_records[0] is a list, not an object"),
        ({"instances": [[1], {}]}, "instances[1] is an object, not a list"),
        (
            {"dataframe_split": [[1]]},
            "dataframe_split must have data, and may have columns and index; got a list",
        ),
        (
            {"dataframe_split": {"data": [[1]], "rows": 1}},
            'dataframe_split must have data, and may have columns and index; got "data, rows"',
        ),
        (
            {"dataframe_split": {"columns": ["RM"], "data": [[1], [1, 2]]}},
            "dataframe_split.data[1] has 2 values, expected 1 values",
        ),
        (
            {"dataframe_split": {"columns": ["RM", 3], "data": [[1, 2]]}},
            'dataframe_split.columns must be a list of names, got ["RM", 3]',
        ),
        (
            {"dataframe_split": {"columns": ["RM", "RM"], "data": [[1, 2]]}},
            'the column "RM" is named more than once',
        ),
    ],
)
def test_a_body_that_is_none_of_the_forms_is_a_bad_request(api, body, message):
    answered = api.invoke(body, Content_Type="application/json")

    assert answered.status == 400
    assert answered.json() == {"error_code": "BAD_REQUEST", "message": message}


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"", "BAD_REQUEST", "the CSV is empty"),
        (b"RM,AGE,LSTAT\n", "BAD_REQUEST", "the CSV has no row below its header"),
        (b"RM,AGE,LSTAT\n6,90\n", "BAD_REQUEST", "rows[0] has 2 values, expected 3 values"),
        (b'RM,AGE,LSTAT\n6,"90,20\n', "BAD_REQUEST", "the body is not CSV: unexpected end of data"),
        (b"RM\n\xff", "BAD_REQUEST", "the body is not UTF-8 at byte 3"),
        (
            b"RM,AGE,LSTAT\n6,90,20\n6,,20\n",
            "INVALID_PARAMETER_VALUE",
            'rows[1].AGE is "", not of type float',
        ),
        (
            b"RM,AGE,LSTAT\n6,9_0,20\n",
            "INVALID_PARAMETER_VALUE",
            'rows[0].AGE is "9_0", not of type float',
        ),
        (
            b"6,90,20\n6,x,20\n",
            "INVALID_PARAMETER_VALUE",
            'rows[1] is "x", not of type float',
        ),
        (
            b"RM,AGE,LSTAT\n6,nan,20\n",
            "INVALID_PARAMETER_VALUE",
            "instances[0].AGE is not a finite number (nan)",
        ),
    ],
)
def test_csv_that_cannot_be_read_is_refused_with_its_place(api, body, code, message):
    answered = api.invoke(body, Content_Type="text/csv")

    assert answered.status == 400
    assert answered.json() == {"error_code": code, "message": message}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("application/json; charset=latin-1", "The scoring server only supports UTF-8"),
        ("text/csv; header=present", 'Unrecognized content type parameters: "header"'),
        (
            "application/x-www-form-urlencoded",
            (
                "This predictor only supports the following content types: application/json, "
                'text/csv, application/jsonlines. Got "application/x-www-form-urlencoded".'
            ),
        ),
    ],
)
def test_another_content_type_is_refused_in_plain_text(api, header, message):
    answered = api.invoke(b'{"instances": [[6, 90, 20]]}', Content_Type=header)

    assert (answered.status, answered.text) == (415, message)
    assert answered.response.content_type.startswith("text/plain")


@pytest.mark.parametrize(
    "header",
    ["application/json", "application/json; charset=UTF-8", "Application/JSON;charset=utf-8", None],
)
def test_json_in_utf8_is_taken_and_so_is_a_body_without_a_type(api, header):
    headers = {} if header is None else {"Content_Type": header}

    assert api.invoke(b'{"instances": [[6, 90, 20]]}', **headers).status == 200


WHOLE = signature({"a": spec("int8", -1), "b": spec("uint64", -1)})
WORD = signature({"word": spec("object", -1)})


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"inputs": {"a": [128], "b": [1]}}'),
        ("application/json", b'{"dataframe_records": [{"a": 1, "b": -1}]}'),
        ("application/json", b'{"dataframe_records": [{"a": 1, "b": 18446744073709551616}]}'),
        ("text/csv", b"a,b\n-129,1\n"),
        ("text/csv", b"a,b\n1,18446744073709551616\n"),
    ],
)
def test_a_whole_number_that_does_not_fit_is_refused_and_never_wrapped(kind, body):
    with pytest.raises(InvalidRequest, match=r"a value is too large|not of expected type"):
        invocations.to_inputs(invocations.parse(body, kind).data, WHOLE)


@pytest.mark.parametrize("number", ["1e39", str(10**50), "-1e39"])
def test_a_number_too_large_for_its_float_is_refused_and_never_infinite(number):
    data = invocations.parse(f'{{"instances": [[1, {number}, 1]]}}'.encode(), "application/json")

    with pytest.raises(
        InvalidRequest, match=r"instances\[0\]: a number is too large for type float"
    ):
        invocations.to_inputs(data.data, SUM)


def test_infinity_itself_is_a_number_of_a_model_without_limits():
    data = invocations.parse(b'{"instances": [[Infinity, NaN, 1]]}', "application/json").data

    batch = invocations.to_inputs(data, SUM)["features"]

    np.testing.assert_array_equal(batch, np.array([[math.inf, math.nan, 1]], np.float32))


def test_columns_without_a_contract_go_by_the_names_of_the_inputs_or_in_their_order():
    table = invocations.parse(b"x,y,z\n6,90,20\n", "text/csv").data
    by_name = invocations.parse(CSV, "text/csv").data

    assert invocations.to_inputs(table, SUM)["features"].tolist() == [[6, 90, 20]]
    inputs = invocations.to_inputs(by_name, SUM_BY_NAME)
    assert {name: array.tolist() for name, array in inputs.items()} == COLUMNS
    with pytest.raises(InvalidRequest, match="missing columns: RM, AGE, LSTAT"):
        invocations.to_inputs(table, SUM_BY_NAME)


def test_rows_without_names_do_not_suit_a_model_of_several_inputs():
    rows = invocations.parse(b"6,90,20\n", "text/csv").data

    with pytest.raises(InvalidRequest, match="rows has no column names; needed: RM, AGE, LSTAT"):
        invocations.to_inputs(rows, SUM_BY_NAME)


def test_words_are_read_from_csv_and_from_base64():
    csv = invocations.parse(b"word\nhouse\n12\n", "text/csv").data
    encoded = invocations.parse(b'{"instances": [{"b64": "aG91c2U="}]}', "application/json").data

    assert invocations.to_inputs(csv, WORD)["word"].tolist() == [b"house", b"12"]
    assert invocations.to_inputs(encoded, WORD)["word"].tolist() == [b"house"]


def test_booleans_are_read_from_csv():
    flag = signature({"flag": spec("bool", -1)})
    csv = invocations.parse(b"flag\ntrue\nFALSE\n", "text/csv").data

    assert invocations.to_inputs(csv, flag)["flag"].tolist() == [True, False]


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=5), st.permutations(NAMES))
def test_every_form_gives_the_same_batch_in_any_order_of_columns(rows, order):
    records = [dict(zip(NAMES, row, strict=True)) for row in rows]
    split = {"columns": order, "data": [[it[name] for name in order] for it in records]}
    lines = [",".join(order), *(",".join(repr(it[name]) for name in order) for it in records)]
    bodies = [
        (invocations.JSON, f'{{"dataframe_split": {json.dumps(split)}}}'),
        (invocations.JSON, f'{{"dataframe_records": {json.dumps(records)}}}'),
        (
            invocations.JSON,
            f'{{"inputs": {json.dumps({n: [r[n] for r in records] for n in order})}}}',
        ),
        (invocations.CSV, "\n".join(lines)),
    ]

    for kind, body in bodies:
        data = invocations.parse(body.encode(), kind).data
        batch = invocations.to_inputs(data, SUM, NAMES)["features"]
        np.testing.assert_array_equal(batch, np.array(rows, np.float32))
