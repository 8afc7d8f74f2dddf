"""Inference over REST: JSON, bytes behind it, and what is said of requests that do not fit."""

from __future__ import annotations

import gzip
import json
import re
import struct
import zlib

import numpy as np
import pytest

from tests.unit.open_inference.world import DATATYPES, Echo, World, binary, document, split

HOUSES = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
SUMS = [6.0, 15.0]
FEATURES = {"name": "features", "shape": [2, 3], "datatype": "FP32"}
FLAT = {**FEATURES, "data": [1, 2, 3, 4, 5, 6]}
RAW = struct.pack("<6f", 1, 2, 3, 4, 5, 6)


def column(name, values, **changes):
    shape = [len(values)]
    return {"name": name, "shape": shape, "datatype": "FP64", "data": values, **changes}


COLUMNS = [column("LSTAT", [3, 6]), column("RM", [1, 4]), column("AGE", [2, 5])]


def price(response):
    assert response.status == 200, response.body
    (output,) = document(response)["outputs"]
    return output["data"]


def refusal(response):
    assert response.status == 400, response.body
    return document(response)["error"]


def test_the_answer_has_the_protocols_form(world):
    body = {"id": "42", "inputs": [FLAT], "outputs": [{"name": "price"}]}

    response = world.infer("housing", body)

    assert response.status == 200
    assert response.content_type == "application/json"
    assert dict(response.headers) == {"X-Model-Version": "1"}
    assert document(response) == {
        "model_name": "housing",
        "model_version": "1",
        "id": "42",
        "outputs": [{"name": "price", "shape": [2], "datatype": "FP32", "data": SUMS}],
    }


def test_an_id_that_was_not_given_is_not_made_up(world):
    assert "id" not in document(world.infer("housing", {"inputs": [FLAT]}))


@pytest.mark.parametrize("data", [HOUSES, [1, 2, 3, 4, 5, 6], [[[1, 2, 3]], [[4, 5, 6]]]])
def test_data_is_flat_or_nested_as_its_shape(world, data):
    assert price(world.infer("housing", {"inputs": [{**FEATURES, "data": data}]})) == SUMS


@pytest.mark.parametrize("version", ["versions/1/", "versions/01/", "versions/stable/", ""])
def test_a_version_or_label_may_stand_in_the_path(world, version):
    response = world.post(f"/v2/models/housing/{version}infer", {"inputs": [FLAT]})

    assert price(response) == SUMS


def test_what_triton_and_pydantic_send_besides_is_taken(world):
    body = {
        "model_name": "ignored",
        "id": None,
        "parameters": None,
        "inputs": [{**FLAT, "parameters": None}],
        "outputs": None,
    }

    assert price(world.infer("housing", body)) == SUMS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"data": [1, 2, 3, 4, 5]},
            "input 'features' has shape [2,3] = 6 elements but 5 were given",
        ),
        (
            {"data": [[1, 2], [3, 4], [5, 6]]},
            "input 'features' has shape [2,3] but its data is nested as [3,2]",
        ),
        ({"data": [[1, 2, 3], [4, 5]]}, "input 'features' has data that is unevenly nested"),
        ({"data": [[1, 2, 3], 4]}, "input 'features' has data that is unevenly nested"),
        (
            {"data": [1, 2, "x", 4, 5, 6]},
            "input 'features' has \"x\" as element 2; FP32 takes numbers",
        ),
        (
            {"data": [1, 2, True, 4, 5, 6]},
            "input 'features' has true as element 2; FP32 takes numbers",
        ),
        ({"datatype": "FP16"}, "input 'features' has datatype FP16, which JSON cannot carry; use"),
        ({"datatype": "FLOAT"}, "input 'features' has datatype 'FLOAT'; known: BOOL, UINT8,"),
        ({"datatype": "BYTES", "data": ["a"] * 6}, "has datatype BYTES, expected FP32"),
        ({"datatype": "BOOL", "data": [True] * 6}, "has datatype BOOL, expected FP32"),
        ({"shape": [2, -3]}, "Expected `int` >= 0 - at `$.inputs[0].shape[1]`"),
        ({"shape": [2, 3.5]}, "Expected `int`, got `float` - at `$.inputs[0].shape[1]`"),
        ({"shape": [1] * 40 + [6]}, "input 'features' has 41 dimensions, the limit is 32"),
        ({"name": "rooms"}, "there is no input 'rooms'; known: features"),
        ({"name": 7}, "Expected `str`, got `int` - at `$.inputs[0].name`"),
        ({"parameters": {"shared_memory_region": "x"}}, "'shared_memory_region', which is not"),
        ({"parameters": {"binary_data_size": 24}}, "has both data and binary_data_size"),
        ({"parameters": {"a": {"b": 1}}}, "at `$.inputs[0].parameters[...]`"),
    ],
)
def test_an_input_that_does_not_fit_is_named(world, change, message):
    assert message in refusal(world.infer("housing", {"inputs": [{**FLAT, **change}]}))


def test_numbers_of_another_type_are_taken_where_only_precision_is_lost(world):
    for datatype in ("FP64", "INT8", "UINT64"):
        body = {"inputs": [{**FLAT, "datatype": datatype}]}
        assert price(world.infer("housing", body)) == SUMS


@pytest.mark.parametrize(
    ("datatype", "value", "model"),
    [("INT64", 300, "echo_INT8"), ("INT64", -1, "echo_UINT64"), ("UINT64", 2**63, "echo_INT64")],
)
def test_a_whole_number_is_never_changed_to_fit(world, datatype, value, model):
    x = {"name": "x", "shape": [1, 1], "datatype": datatype, "data": [value]}

    message = refusal(world.infer(model, {"inputs": [x]}))

    assert message == f"input 'x' has a value that is too large for {model.removeprefix('echo_')}"


def test_a_float_is_not_cut_to_a_whole_number(world):
    x = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.5]}

    message = refusal(world.infer("echo_INT32", {"inputs": [x]}))

    assert message == "input 'x' has datatype FP32, expected INT32"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Object missing required field `inputs`"),
        ([], "Expected `object`, got `array`"),
        ({"inputs": []}, "input 'features' is missing; needed: features"),
        ({"inputs": [FLAT, FLAT]}, "two inputs have one name: features, features"),
        ({"inputs": [FLAT], "outputs": [{"name": "rent"}]}, "there is no output 'rent'; known: p"),
        ({"inputs": [FLAT], "outputs": [{"name": "price"}] * 2}, "'price' is asked for twice"),
        (
            {"inputs": [FLAT], "outputs": [{"name": "price", "parameters": {"classification": 3}}]},
            "output 'price' has the parameter 'classification', which is not supported",
        ),
        ({"inputs": [FLAT], "parameters": {"binary_data_output": 1}}, "1, not true or false"),
        ({"inputs": [FLAT], "parameters": {"signature_name": 1}}, "'signature_name' is 1, not t"),
        ({"inputs": [FLAT], "parameters": {"signature_name": "x"}}, '"x" not found in signature'),
        ({"inputs": [FEATURES]}, "input 'features' has neither data nor binary_data_size"),
        (b"", "JSON Parse error: Expecting value. at offset: 0"),
        (b"{", "JSON Parse error: Expecting property name"),
        (b'{"inputs": []} x', "JSON Parse error: Extra data. at offset: 15"),
        (b"\xff", "JSON Parse error: 'utf-8' codec can't decode"),
        (
            b'{"inputs":[{"name":"x","shape":[],"datatype":"FP32","data":' + b"[" * 100_000,
            "JSON Parse error: nested too deeply",
        ),
    ],
)
def test_a_request_that_does_not_fit_is_explained(world, body, message):
    assert message in refusal(world.infer("housing", body))


def test_the_contract_is_held_to_here_too(world):
    body = {"inputs": [{**FLAT, "data": [51, 2, 3, 4, 5, 6]}]}

    assert refusal(world.infer("housing", body)) == "instances[0].RM is 51 rooms, outside [0, 50]"


def test_an_unknown_model_is_not_found_and_an_unready_one_not_available(world):
    unknown = world.infer("nobody", {"inputs": [FLAT]})
    unready = world.infer("empty", {"inputs": [FLAT]})

    assert (unknown.status, document(unknown)["error"]) == (404, "model nobody is not served here")
    assert unready.status == 503
    assert document(unready)["error"] == "model empty is not ready: there is no version of it"


def test_a_bug_shows_nothing_but_the_request_id(world):
    response = world.infer("broken", {"inputs": [FLAT]})

    assert response.status == 500
    assert document(response)["error"].startswith("internal error, request id ")
    assert b"wires" not in response.body


@pytest.mark.parametrize("parameters", [{"content_type": "pd"}, {}])
def test_columns_are_put_in_the_contracts_order(world, parameters):
    body = {"parameters": parameters, "inputs": COLUMNS}

    assert price(world.infer("housing", body)) == SUMS


def test_columns_may_be_as_pandas_codec_has_them(world):
    inputs = [{**it, "shape": [2, 1], "data": [[x] for x in it["data"]]} for it in COLUMNS]

    assert price(world.infer("housing", {"inputs": inputs})) == SUMS


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (COLUMNS[:2], "column 'AGE' is missing; needed: RM, AGE, LSTAT"),
        ([*COLUMNS, column("TAX", [1, 2])], "there is no column 'TAX'; known: RM, AGE, LSTAT"),
        ([*COLUMNS[:2], column("AGE", [2])], "the columns differ in number of rows: {'RM': 2, 'A"),
        (
            [*COLUMNS[:2], column("AGE", [2, 5], shape=[1, 2])],
            "column 'AGE' has shape [1,2], expected [n] or [n,1]",
        ),
        (
            [*COLUMNS[:2], column("AGE", ["old", "new"], datatype="BYTES")],
            "input 'AGE' has datatype BYTES, expected FP32",
        ),
    ],
)
def test_columns_that_do_not_fit_are_named(world, inputs, message):
    body = {"parameters": {"content_type": "pd"}, "inputs": inputs}

    assert message in refusal(world.infer("housing", body))


def test_another_signature_may_be_named(world):
    body = {
        "parameters": {"signature_name": "named"},
        "inputs": [column("RM", [1]), column("AGE", [2]), column("LSTAT", [3])],
    }

    assert price(world.infer("housing", body)) == [6.0]


def test_outputs_come_in_the_order_asked_for(world):
    x = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    wanted = [{"name": "nothing"}, {"name": "sum"}]

    response = world.infer("two", {"inputs": [x], "outputs": wanted})

    assert [it["name"] for it in document(response)["outputs"]] == ["nothing", "sum"]
    assert response.body.count(b"NaN") == 1  # as Triton writes it, and Python reads it


def test_a_number_that_is_none_can_be_sent_too(world):
    body = (
        b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP64","data":[NaN,Infinity,-Infinity]}]}'
    )

    response = world.infer("echo_FP64", body)

    assert b'"data":[NaN,Infinity,-Infinity]' in response.body


def test_the_example_of_the_binary_extension_is_answered(world):
    text = (
        b'{"inputs":[{"name":"features","shape":[2,3],"datatype":"FP32",'
        b'"parameters":{"binary_data_size":24}}],"parameters":{"binary_data_output":true}}'
    )
    assert len(text) == 142

    response = world.infer("housing", text + RAW, inference_header_content_length="142")

    head, tail = split(response)
    assert response.content_type == "application/octet-stream"
    assert head["outputs"] == [
        {
            "name": "price",
            "shape": [2],
            "datatype": "FP32",
            "parameters": {"binary_data_size": 8},
        }
    ]
    assert struct.unpack("<2f", tail) == tuple(SUMS)


def test_json_of_the_whole_body_may_be_announced(world):
    body, length = binary({"inputs": [FLAT]})

    response = world.infer("housing", body, inference_header_content_length=length)

    assert price(response) == SUMS
    assert "Inference-Header-Content-Length" not in dict(response.headers)


def test_an_output_says_for_itself_whether_it_is_binary(world):
    x = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    body = {
        "parameters": {"binary_data_output": True},
        "inputs": [x],
        "outputs": [
            {"name": "sum", "parameters": {"binary_data": False}},
            {"name": "nothing"},
        ],
    }

    head, tail = split(world.infer("two", body))

    assert head["outputs"][0]["data"] == [3.0]
    assert "data" not in head["outputs"][1]
    assert np.isnan(struct.unpack("<f", tail))


def test_a_body_may_be_nothing_but_the_inputs_bytes(world):
    response = world.infer("housing", RAW, inference_header_content_length="0")

    head, tail = split(response)
    assert head["outputs"][0]["shape"] == [2]
    assert struct.unpack("<2f", tail) == tuple(SUMS)


def test_of_two_open_sizes_the_first_is_one(world):
    response = world.infer("echo_FP32", RAW, inference_header_content_length="0")

    assert split(response)[0]["outputs"][0]["shape"] == [1, 6]


def test_the_open_size_need_not_be_the_first(world):
    response = world.infer("fixed", RAW, inference_header_content_length="0")

    assert split(response)[0]["outputs"][0]["shape"] == [2, 3]


def test_a_string_may_be_the_whole_body(world):
    response = world.infer("echo_BYTES", b"a word", inference_header_content_length="0")

    assert split(response)[1] == b"\x06\x00\x00\x00a word"


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        ("open", RAW, "input 'x' has shape [-1,-1,-1]: a body without JSON can leave one size op"),
        ("housing", RAW[:-1], "input 'features' has shape [1,3] = 12 bytes of FP32 but 23 were"),
    ],
)
def test_a_bare_body_that_does_not_fit_is_explained(world, model, body, message):
    assert message in refusal(world.infer(model, body, inference_header_content_length="0"))


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ("text", "Inference-Header-Content-Length is 'text', not a length"),
        ("-1", "Inference-Header-Content-Length is '-1', not a length"),
        ("", "Inference-Header-Content-Length is '', not a length"),
        ("1e2", "Inference-Header-Content-Length is '1e2', not a length"),
        ("٣", "not a length"),
        ("9" * 30, "not a length"),
        ("4294967296", "is 4294967296, but the body has"),
        ("100000", "is 100000, but the body has"),
        ("3", "JSON Parse error"),
    ],
)
def test_a_length_that_makes_no_sense_is_refused(world, length, message):
    body, _ = binary({"inputs": [FLAT]})

    assert message in refusal(world.infer("housing", body, inference_header_content_length=length))


@pytest.mark.parametrize(
    ("size", "tail", "message"),
    [
        (24, RAW[:-1], "has binary_data_size 24, but 23 bytes are left behind the JSON"),
        (24, RAW + b"x", "1 bytes behind the JSON belong to no input"),
        (20, RAW[:20], "has shape [2,3] = 24 bytes of FP32 but 20 were given"),
        (-1, RAW, "has binary_data_size -1, not a length"),
        (2**70, RAW, "has binary_data_size"),
        ("24", RAW, "has binary_data_size '24', not a length"),
        (True, RAW, "has binary_data_size True, not a length"),
    ],
)
def test_a_binary_size_that_makes_no_sense_is_refused(world, size, tail, message):
    head = {"inputs": [{**FEATURES, "parameters": {"binary_data_size": size}}]}
    body, length = binary(head, tail)

    assert message in refusal(world.infer("housing", body, inference_header_content_length=length))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\x05\x00\x00\x00abc", "input 'x' has an element 0 that ends behind its 7 bytes"),
        (b"\x01\x00\x00", "input 'x' has an element 0 that ends behind its 3 bytes"),
        (b"\x00" * 8, "input 'x' has shape [1,1] = 1 elements but 2 were given"),
        (b"", "input 'x' has shape [1,1] = 1 elements but 0 were given"),
    ],
)
def test_strings_whose_lengths_make_no_sense_are_refused(world, raw, message):
    parameters = {"binary_data_size": len(raw)}
    x = {"name": "x", "shape": [1, 1], "datatype": "BYTES", "parameters": parameters}
    body, length = binary({"inputs": [x]}, raw)

    response = world.infer("echo_BYTES", body, inference_header_content_length=length)

    assert refusal(response) == message


@pytest.mark.parametrize(
    ("encoding", "packed"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_packed_body_is_inflated(world, encoding, packed):
    body, length = binary({"inputs": [{**FEATURES, "parameters": {"binary_data_size": 24}}]}, RAW)

    response = world.infer(
        "housing", packed(body), content_encoding=encoding, inference_header_content_length=length
    )

    assert price(response) == SUMS


def test_a_bomb_is_refused(world):
    bomb = gzip.compress(bytes(2**24))

    assert world.infer("housing", bomb, content_encoding="gzip").status == 413


MANY = {"inputs": [{"name": "x", "shape": [1, 500], "datatype": "INT64", "data": [7] * 500}]}


@pytest.mark.parametrize(
    ("accepted", "encoding", "unpacked"),
    [
        ("gzip", "gzip", gzip.decompress),
        ("deflate", "deflate", zlib.decompress),
        ("deflate;q=0.5, gzip", "gzip", gzip.decompress),
        ("gzip;q=0.1, deflate", "deflate", zlib.decompress),
        ("br, *;q=0", None, bytes),
        ("identity", None, bytes),
        ("", None, bytes),
    ],
)
def test_an_answer_is_packed_as_asked(world, accepted, encoding, unpacked):
    response = world.infer("echo_INT64", MANY, accept_encoding=accepted)

    assert dict(response.headers).get("Content-Encoding") == encoding
    assert json.loads(unpacked(response.body))["outputs"][0]["data"] == [7] * 500


def test_a_small_answer_is_not_worth_packing(world):
    response = world.infer("housing", {"inputs": [FLAT]}, accept_encoding="gzip")

    assert "Content-Encoding" not in dict(response.headers)


def test_the_json_length_of_a_packed_answer_is_that_of_the_answer_unpacked(world):
    body = {**MANY, "parameters": {"binary_data_output": True}}

    response = world.infer("echo_INT64", body, accept_encoding="gzip")

    whole = gzip.decompress(response.body)
    length = int(dict(response.headers)["Inference-Header-Content-Length"])
    assert json.loads(whole[:length])["outputs"][0]["parameters"] == {"binary_data_size": 4000}
    assert whole[length:] == struct.pack("<500q", *[7] * 500)


@pytest.mark.parametrize("datatype", ["FP16"])
def test_an_output_that_json_cannot_carry_must_be_asked_for_as_bytes(world, datatype):
    parameters = {"binary_data_size": 2}
    x = {"name": "x", "shape": [1, 1], "datatype": datatype, "parameters": parameters}
    body, length = binary({"inputs": [x]}, b"\x00\x3c")

    response = world.infer("echo_FP16", body, inference_header_content_length=length)

    assert refusal(response) == ("output 'y' has datatype FP16, which JSON cannot carry; use bytes")


def test_bytes_that_are_no_text_must_be_asked_for_as_bytes(world):
    parameters = {"binary_data_size": 5}
    x = {"name": "x", "shape": [1, 1], "datatype": "BYTES", "parameters": parameters}
    body, length = binary({"inputs": [x]}, b"\x01\x00\x00\x00\xff")

    response = world.infer("echo_BYTES", body, inference_header_content_length=length)

    assert "holds bytes that are no UTF-8; ask for it with binary_data" in refusal(response)


def large(data, shape, datatype="FP32"):
    return {"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]}


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT64"])
@pytest.mark.parametrize("nested", [True, False])
def test_a_large_block_of_numbers_is_read_as_a_small_one_is(tmp_path, datatype, nested):
    world = World(tmp_path, {"echo": Echo(DATATYPES[datatype])})
    rows = [[number, -3, 2**53 - 1] for number in range(400)]
    data = rows if nested else [it for row in rows for it in row]

    answer = document(world.infer("echo", large(data, [400, 3], datatype)))

    (output,) = answer["outputs"]
    dtype = DATATYPES[datatype]
    assert np.array(output["data"], dtype).tolist() == np.array(rows, dtype).ravel().tolist()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([[1, 2, 3]] * 399, "1200 elements but 1197 were given"),
        ([[1, 2]] * 600, r"shape \[400,3\] but its data is nested as \[600,2\]"),
        ([[1, 2, 3]] * 399 + [[1, 2, "3"]], 'has "3" as element 1199; FP32 takes numbers'),
        ([[1, 2, 3]] * 399 + [[1, 2], 3], "unevenly nested"),
    ],
)
def test_what_is_wrong_with_a_large_block_is_said(tmp_path, data, said):
    world = World(tmp_path, {"echo": Echo("float32")})

    answer = world.infer("echo", large(data, [400, 3]))

    assert answer.status == 400
    assert re.search(said, document(answer)["error"])


def test_infinity_in_a_large_block_is_read_and_written(tmp_path):
    world = World(tmp_path, {"echo": Echo("float32")})
    data = [float("inf"), 1e39] + [1.0] * 1198

    answer = document(world.infer("echo", large(data, [400, 3])))

    assert answer["outputs"][0]["data"][:3] == [float("inf"), float("inf"), 1.0]
