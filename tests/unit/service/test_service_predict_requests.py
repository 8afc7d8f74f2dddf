"""What ``to_inputs`` makes of predict requests, and what it says of those it refuses.

The texts are those of tensorflow_serving/util/json_tensor.cc.
"""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from service.errors import HearthError, InvalidRequest
from service.protocols.tensorflow_serving import parse_inference, to_inputs
from tests.unit.service.fakes import LIMITS, SUM, SUM_BY_NAME, signature, spec

VECTOR = signature({"x": spec("float32", -1)})
PAIR = signature({"a": spec("float32", -1), "b": spec("float32", -1)})
WORDS = signature({"s": spec("object", -1)})
WHOLE = signature({"n": spec("int32", -1)})
FLAGS = signature({"f": spec("bool", -1)})
FEATURES = tuple(LIMITS)


def read(body: str | bytes, wanted=SUM, features=()):
    return to_inputs(
        parse_inference(body if isinstance(body, bytes) else body.encode()), wanted, features
    )


def refusal(body: str | bytes, wanted=SUM, features=()) -> str:
    with pytest.raises(InvalidRequest) as refused:
        read(body, wanted, features)
    return refused.value.message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"instances": [[1, 2, 3]]}', [[1, 2, 3]]),
        ('{"instances": [[1, 2.5, 3], [4, 5, 6e1]]}', [[1, 2.5, 3], [4, 5, 60]]),
        ('{"instances": [{"features": [1, 2, 3]}]}', [[1, 2, 3]]),
        ('{"inputs": [[1, 2, 3]]}', [[1, 2, 3]]),
        ('{"inputs": {"features": [[1, 2, 3]]}}', [[1, 2, 3]]),
        ('{"inputs": {"features": [[1, 2, 3]], "left": "out"}}', [[1, 2, 3]]),
        ('{"instances": [[1, 2, 3]]} and more', [[1, 2, 3]]),
        ('\ufeff{"instances": [[1, 2, 3]]}', [[1, 2, 3]]),
        (' \n\t{"instances": [[1, 2, 3]]}\r\n', [[1, 2, 3]]),
        ('{"instances": [[NaN, Infinity, -Infinity]]}', [[math.nan, math.inf, -math.inf]]),
        ('{"instances": [[Inf, -Inf, -NaN]]}', [[math.inf, -math.inf, math.nan]]),
        ('{"\\"Inf": "-NaN, \\"Inf", "instances": [[1, Inf, 2]]} Inf', [[1, math.inf, 2]]),
        (b'{"\xff": "\xfe", "instances": [[1, 2, 3]]}', [[1, 2, 3]]),
        ('{"instances": [[1e400, -1e400, 1e-400]]}', [[math.inf, -math.inf, 0]]),
        ('{"instances": [[1e39, -1e39, 1e-50]]}', [[math.inf, -math.inf, 0]]),
        ('{"instances": [[36893488147419103232, 1.5, 2]]}', [[2.0**65, 1.5, 2]]),
        ('{"instances": [[1, 2, 3]], "signature_name": ""}', [[1, 2, 3]]),
        ('{"inputs": 5}', 5),
        ('{"inputs": []}', []),
    ],
)
def test_a_request_becomes_the_batch_it_means(body, expected):
    batch = read(body)["features"]

    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch, np.array(expected, np.float32))


def test_plain_rows_of_a_lone_input_may_be_numbers():
    np.testing.assert_array_equal(read('{"instances": [1, 2.5]}', VECTOR)["x"], [1, 2.5])


@pytest.mark.parametrize(
    "body",
    [
        '{"instances": [{"a": 1, "b": 2}, {"b": 4, "a": 3}]}',
        '{"inputs": {"a": [1, 3], "b": [2, 4]}}',
    ],
)
def test_several_inputs_are_named_by_row_or_by_column(body):
    inputs = read(body, PAIR)

    np.testing.assert_array_equal(inputs["a"], [1, 3])
    np.testing.assert_array_equal(inputs["b"], [2, 4])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"instances": ["a", "é"]}', [b"a", "é".encode()]),
        ('{"instances": [{"b64": "AP8="}]}', [b"\x00\xff"]),
        ('{"instances": [{"s": {"b64": "AP8="}}, {"s": "x"}]}', [b"\x00\xff", b"x"]),
        ('{"inputs": {"b64": "AP8="}}', b"\x00\xff"),
        ('{"inputs": {"s": ["x"]}}', [b"x"]),
        ('{"instances": [[["a"], ["b"]]]}', [[[b"a"], [b"b"]]]),
        ('{"instances": [{"b64": ""}]}', [b""]),
    ],
)
def test_text_and_base64_become_bytes(body, expected):
    assert read(body, WORDS)["s"].tolist() == expected


@pytest.mark.parametrize(
    "body",
    [
        '{"instances": [{"RM": 1, "AGE": 2, "LSTAT": 3}, {"LSTAT": 6, "AGE": 5.0, "RM": 4}]}',
        '{"instances": [[1, 2, 3], [4, 5, 6]]}',
        '{"instances": [{"features": [1, 2, 3]}, {"features": [4, 5, 6]}]}',
    ],
)
def test_features_may_be_named_in_any_order_where_a_contract_names_them(body):
    batch = read(body, SUM, FEATURES)["features"]

    np.testing.assert_array_equal(batch, [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            '{"RM": 1, "AGE": 2, "LSTAT": 3, "TAX": 4}',
            "instances[1] has the unknown feature TAX; known: RM, AGE, LSTAT",
        ),
        ('{"RM": 1, "AGE": 2}', "instances[1] lacks the feature LSTAT; needed: RM, AGE, LSTAT"),
        ("{}", "instances[1] lacks the feature RM; needed: RM, AGE, LSTAT"),
        ('{"RM": "1", "AGE": 2, "LSTAT": 3}', 'instances[1].RM is "1", not a number'),
        ('{"RM": 1, "AGE": null, "LSTAT": 3}', "instances[1].AGE is null, not a number"),
        ('{"RM": 1, "AGE": true, "LSTAT": 3}', "instances[1].AGE is true, not a number"),
        ('{"RM": 1, "AGE": [2], "LSTAT": 3}', "instances[1].AGE is [2], not a number"),
        ("[1, 2, 3]", "Expecting object but got list at item 1 of input list"),
    ],
)
def test_a_wrong_feature_is_named_with_its_row(row, message):
    body = f'{{"instances": [{{"RM": 1, "AGE": 2, "LSTAT": 3}}, {row}]}}'

    assert refusal(body, SUM, FEATURES) == message


def test_an_unknown_feature_of_any_length_gives_a_short_message():
    body = json.dumps({"instances": [{"R" * 10_000: 1}]})

    assert len(refusal(body, SUM, FEATURES)) < 200


@pytest.mark.parametrize("body", ["", " \n", "\ufeff", "\ufeff "])
def test_an_empty_body_is_an_empty_document(body):
    assert refusal(body) == "JSON Parse error: The document is empty"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nope",
        b"{'instances': [[1, 2, 3]]}",
        b'{"instances": [[1, 2, 3]]',
        b'{"instances": [[1, 2, 3]],}',
        b'{"instances": [[01, 2, 3]]}',
        b"\xff\xfe{\x00}\x00",
        b"\x1f\x8b\x08\x00",
        b'{"instances": ' + b"[" * 100_000,
        b'{"instances": [[' + b"9" * 5000 + b", 2, 3]]}",
        b"\x00",
    ],
)
def test_what_is_not_json_is_said_to_be_no_json(body):
    assert refusal(body).startswith("JSON Parse error: ")


def test_a_parse_error_says_where():
    assert refusal('{"instances": nope}').endswith("at offset: 14")


@pytest.mark.parametrize("body", ["[1]", "1", '"x"', "null", "NaN"])
def test_the_top_must_be_an_object(body):
    assert refusal(body) == f"JSON Value: {body} Is not object"


@pytest.mark.parametrize("name", ["1", "null", '["a"]', "{}"])
def test_a_signature_name_is_text(name):
    message = refusal(f'{{"signature_name": {name}, "instances": 1}}')

    assert message.endswith("'signature_name' key must be a string value.")
    assert message.startswith("JSON Value: {")


@pytest.mark.parametrize(
    ("wanted", "body", "message"),
    [
        (
            SUM,
            '{"instances": [1], "inputs": [1]}',
            (
                'JSON Value: {"instances": [1], "inputs": [1]} Not formatted correctly expecting '
                "only one of 'inputs' or 'instances' keys to exist "
            ),
        ),
        (SUM, "{}", "Missing 'inputs' or 'instances' key"),
        (SUM, '{"signature_name": "x"}', "Missing 'inputs' or 'instances' key"),
        (
            SUM,
            '{"instances": {"features": [1]}}',
            "JSON Value: {\"features\": [1]} Expecting 'instances' to be an list/array",
        ),
        (SUM, '{"instances": []}', "JSON Value: [] No values in 'instances' array"),
        (
            PAIR,
            '{"instances": [[1, 2]]}',
            (
                "instances is a plain list, but expecting list of objects as multiple input "
                "tensors required as per tensorinfo_map"
            ),
        ),
        (
            PAIR,
            '{"instances": [{"a": 1, "b": 2}, [1, 2]]}',
            "Expecting object but got list at item 1 of input list",
        ),
        (
            SUM,
            '{"instances": [[1, 2, 3], [1, 2, 3], {"features": [1, 2, 3]}]}',
            "Expecting value/list but got object at item 2 of input list",
        ),
        (
            SUM,
            '{"instances": [[1, 2, 3], [1, "x", 3]]}',
            (
                "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
                'JSON Value: "x" Type: String is not of expected type: float'
            ),
        ),
        (
            PAIR,
            '{"instances": [{"a": "x", "b": 2}]}',
            (
                "Failed to process element: 0 key: a of 'instances' list. Error: INVALID_ARGUMENT: "
                'JSON Value: "x" Type: String is not of expected type: float'
            ),
        ),
        (
            PAIR,
            '{"instances": [{"a": 1, "b": 2, "z": 3}]}',
            (
                "Failed to process element: 0 of 'instances' list. JSON object: "
                "does not have named input: z"
            ),
        ),
        (
            PAIR,
            '{"instances": [{"a": 1, "b": 2}, {"a": 1}]}',
            (
                "Failed to process element: 1 of 'instances' list. "
                'JSON object: {"a": 1} keys must be equal to: a,b'
            ),
        ),
        (
            SUM,
            '{"instances": [[1, 2], [1, 2, 3]]}',
            (
                "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
                "Expecting tensor size: 2 but got: 3"
            ),
        ),
        (
            SUM,
            '{"instances": [[1, 2], [[1, 2]]]}',
            (
                "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
                "Expecting shape [2] but got: [1,2]"
            ),
        ),
        (PAIR, '{"inputs": {"a": [1]}}', "Missing named input: b in 'inputs' object."),
        (WORDS, '{"instances": [{"b64": "#"}]}', "Unable to base64 decode"),
        (WORDS, '{"instances": [{"b64": "é"}]}', "Unable to base64 decode"),
    ],
)
def test_a_refusal_says_what_tensorflow_serving_says(wanted, body, message):
    assert refusal(body, wanted) == message


@pytest.mark.parametrize(
    ("wanted", "value", "kind", "expected"),
    [
        (SUM, "null", "Null", "float"),
        (SUM, "true", "Bool", "float"),
        (SUM, '"1"', "String", "float"),
        (SUM, '{"a": 1}', "Object", "float"),
        (WHOLE, "1.0", "Number", "int32"),
        (WHOLE, "true", "Bool", "int32"),
        (WHOLE, "NaN", "Number", "int32"),
        (WHOLE, "18446744073709551616000", "Number", "int32"),
        (FLAGS, "1", "Number", "bool"),
        (FLAGS, "0.0", "Number", "bool"),
        (WORDS, "1", "Number", "string"),
        (WORDS, "null", "Null", "string"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_type(wanted, value, kind, expected):
    message = refusal(f'{{"instances": [[{value}]]}}', wanted)

    assert f"Type: {kind} is not of expected type: {expected}" in message


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("int8", 128), ("uint8", -1), ("int16", 40_000), ("int32", 2**31), ("int64", 2**63)],
)
def test_a_whole_number_beyond_its_type_is_refused_and_not_wrapped(dtype, value):
    message = refusal(f'{{"instances": [{value}]}}', signature({"n": spec(dtype, -1)}))

    assert "too large" in message or "out of bounds" in message


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        ('{"instances": [[Inf, Inf, x]]}', 26),
        ('{"instances": [[-NaN, -Inf, Infinity, -x]]}', 38),
        ('{"instances": [[Infi]]}', 16),
        ('{"instances": [[Inf, "\\"Inf]]}', 21),
        ('{"instances": [[1, 2, x]], "y": Inf}', 22),
    ],
)
def test_beside_short_tokens_an_error_is_found_where_it_is(body, offset):
    assert refusal(body).endswith(f"at offset: {offset}")


def test_a_string_without_an_end_is_read_over_once():
    body = '{"instances": [[Inf, "' + '\\"' * 500_000

    assert "Missing a closing quotation mark" in refusal(body)


def test_bytes_that_are_no_text_reach_the_model_as_they_came():
    inputs = read(b'{"instances": ["gr\xfcn", "gr\xc3\xbcn", "\\u00fc"]}', WORDS)

    assert inputs["s"].tolist() == [b"gr\xfcn", "grün".encode(), "ü".encode()]


@pytest.mark.parametrize(
    "text", ["aG91c2U=", "aG91c2U", "aG91\\nc2U=", " aG91c2U = ", "aG91c2U\\r\\n"]
)
def test_base64_may_be_wrapped_and_lack_its_padding(text):
    # absl/strings/escaping.h: Base64Unescape
    assert read(f'{{"instances": [{{"b64": "{text}"}}]}}', WORDS)["s"].tolist() == [b"house"]


@pytest.mark.parametrize("text", ["aG91c2U==", "a", "aG9=1c2U", "_-8=", "grün"])
def test_what_is_not_base64_is_refused(text):
    assert refusal(f'{{"instances": [{{"b64": "{text}"}}]}}', WORDS) == "Unable to base64 decode"


def test_a_signature_without_inputs_takes_no_plain_rows():
    nothing = signature({})

    assert refusal('{"instances": [1]}', nothing) == (
        "instances is a plain list, but the signature takes no inputs"
    )
    assert read('{"inputs": {}}', nothing) == {}


def test_half_a_surrogate_pair_is_refused_as_text():
    assert "is not UTF-8" in refusal(b'{"instances": ["\\ud800"]}', WORDS)


def test_a_deep_list_is_refused_as_not_fitting():
    depth = 500
    body = '{"instances": ' + "[" * depth + "1" + "]" * depth + "}"

    assert refusal(body).startswith("Failed to process element: 0")


def test_the_last_of_two_equal_keys_counts():
    batch = read('{"instances": [[9, 9, 9]], "instances": [[1, 2, 3]]}')["features"]

    np.testing.assert_array_equal(batch, [[1, 2, 3]])


def test_a_shown_value_is_cut_to_256_characters():
    message = refusal(json.dumps(["x" * 1000]))

    assert len(message) < 300
    assert "..." in message


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["features", "RM", "AGE", "LSTAT", "b64", "a", "x", "\ud800"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["instances", "inputs", "signature_name", "other"]), JSON_VALUES, max_size=3
)
SIGNATURES = st.sampled_from([SUM, SUM_BY_NAME, PAIR, VECTOR, WORDS, WHOLE, FLAGS])


def said_no_or_gave_all(body: bytes, wanted, features) -> None:
    try:
        inputs = read(body, wanted, features)
    except HearthError:
        return
    assert inputs.keys() == wanted.inputs.keys()


@given(DOCUMENTS, SIGNATURES, st.sampled_from([(), FEATURES]))
@settings(max_examples=300)
def test_no_document_makes_it_stumble(document, wanted, features):
    said_no_or_gave_all(json.dumps(document).encode(), wanted, features)


@given(DOCUMENTS, SIGNATURES, st.data())
def test_no_mangled_document_makes_it_stumble(document, wanted, data):
    body = bytearray(json.dumps(document, ensure_ascii=False).encode(errors="surrogatepass"))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))

    said_no_or_gave_all(bytes(body[: data.draw(st.integers(0, len(body)))]), wanted, FEATURES)


@given(st.binary())
def test_no_bytes_make_it_stumble(body):
    said_no_or_gave_all(body, SUM, FEATURES)


NUMBERS = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
SHAPES = npst.array_shapes(min_dims=1, max_dims=3, max_side=4)


@pytest.mark.parametrize("dtype", NUMBERS)
@given(data=st.data())
@settings(max_examples=40)
def test_json_of_an_array_is_read_back_as_that_array(dtype, data):
    array = data.draw(npst.arrays(dtype, SHAPES))
    wanted = signature({"x": spec(dtype, -1)})
    values = json.dumps(array.tolist())

    for body in (f'{{"instances": {values}}}', f'{{"inputs": {{"x": {values}}}}}'):
        made = read(body, wanted)["x"]
        assert made.dtype == array.dtype
        np.testing.assert_array_equal(made, array)


@given(st.lists(st.binary(), min_size=1))
def test_base64_of_bytes_is_read_back_as_those_bytes(values):
    encoded = [{"b64": base64.b64encode(it).decode()} for it in values]

    assert read(json.dumps({"instances": encoded}), WORDS)["s"].tolist() == values
