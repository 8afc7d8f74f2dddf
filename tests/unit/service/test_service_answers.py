"""What the service writes: predictions, status, metadata."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from service.errors import InvalidRequest
from service.inference.signature import TensorSpec
from service.protocols.tensorflow_serving import (
    encode_metadata,
    encode_predict,
    encode_status,
)
from service.repository.version import State, VersionStatus
from tests.unit.service.fakes import signature, spec


def rows(**outputs):
    return json.loads(encode_predict(outputs, by_row=True))


def columns(**outputs):
    return json.loads(encode_predict(outputs, by_row=False))


def strings(*values: bytes):
    made = np.empty(len(values), object)
    made[:] = values
    return made


def test_a_lone_output_goes_without_its_name():
    price = np.array([3.0, 3.5], np.float32)

    assert rows(price=price) == {"predictions": [3.0, 3.5]}
    assert columns(price=price) == {"outputs": [3.0, 3.5]}


def test_several_outputs_are_named_in_each_row_or_as_columns():
    a, b = np.array([[1, 2], [4, 5]], np.float32), np.array([3, 6], np.int64)

    assert rows(a=a, b=b) == {"predictions": [{"a": [1, 2], "b": 3}, {"a": [4, 5], "b": 6}]}
    assert columns(a=a, b=b) == {"outputs": {"a": [[1, 2], [4, 5]], "b": [3, 6]}}


def test_no_rows_are_an_empty_list():
    assert rows(price=np.zeros(0, np.float32)) == {"predictions": []}
    assert columns(price=np.zeros((0, 2))) == {"outputs": []}


def test_a_scalar_is_an_output_but_no_row():
    assert columns(y=np.array(2.5, np.float32)) == {"outputs": 2.5}
    with pytest.raises(InvalidRequest, match="Tensor name: y has no shape information "):
        rows(y=np.array(2.5, np.float32))


def test_outputs_of_different_lengths_are_no_rows():
    with pytest.raises(InvalidRequest) as refused:
        rows(a=np.zeros(2), b=np.zeros(1))

    assert refused.value.message == "Tensor name: b has inconsistent batch size: 1 expecting: 2"


@pytest.mark.parametrize("write", [rows, columns])
def test_a_float32_is_written_with_the_digits_that_it_has(write):
    for companion in ({}, {"n": np.array([1])}, {"f": np.array([math.nan])}):
        text = encode_predict(
            {"price": np.array([0.1], np.float32), **companion}, by_row=write is rows
        ).decode()
        assert "0.1" in text
        assert "0.10000000" not in text


def test_numbers_that_are_none_are_written_as_tensorflow_serving_writes_them():
    body = encode_predict({"y": np.array([math.nan, math.inf, -math.inf])}, by_row=True)

    assert body == b'{"predictions":[NaN,Infinity,-Infinity]}'


def test_bytes_are_text_unless_the_name_says_otherwise():
    assert rows(word=strings(b"a", "é".encode())) == {"predictions": ["a", "é"]}
    assert rows(raw_bytes=strings(b"\x00\xff")) == {"predictions": [{"b64": "AP8="}]}
    assert columns(word=np.array([b"ab", b"c"])) == {"outputs": ["ab", "c"]}


def test_bytes_that_are_no_utf8_do_not_break_the_answer():
    assert rows(word=strings(b"\xff")) == {"predictions": ["�"]}


def test_an_array_out_of_order_is_written_in_order():
    assert columns(y=np.arange(6).reshape(2, 3).T) == {"outputs": [[0, 3], [1, 4], [2, 5]]}


def test_a_complex_output_is_refused_with_its_type():
    with pytest.raises(InvalidRequest) as refused:
        columns(y=np.array([1j]))

    assert refused.value.message == "Failed to write JSON value for tensor type: complex128"


NUMBERS = ["float16", "float32", "float64", "int8", "int16", "int32", "int64"]
UNSIGNED = ["uint8", "uint16", "uint32", "uint64", "bool"]
SHAPES = npst.array_shapes(min_dims=1, max_dims=3, max_side=4)


@pytest.mark.parametrize("dtype", NUMBERS + UNSIGNED)
@given(data=st.data())
@settings(max_examples=40)
def test_an_array_is_read_back_from_its_json(dtype, data):
    array = data.draw(npst.arrays(dtype, SHAPES))

    np.testing.assert_array_equal(np.array(rows(y=array)["predictions"], dtype), array)
    np.testing.assert_array_equal(np.array(columns(y=array)["outputs"], dtype), array)
    pair = columns(y=array, z=array)["outputs"]
    np.testing.assert_array_equal(np.array(pair["z"], dtype), array)
    by_row = [row["y"] for row in rows(y=array, z=array)["predictions"]]
    np.testing.assert_array_equal(np.array(by_row, dtype), array)


@given(st.lists(st.binary(), min_size=1))
def test_bytes_are_read_back_from_their_base64(values):
    encoded = rows(y_bytes=strings(*values))["predictions"]

    assert [base64.b64decode(it["b64"]) for it in encoded] == values


def test_status_has_tensorflow_servings_form():
    body = encode_status(
        [VersionStatus(12, State.END, "it is broken"), VersionStatus(3, State.AVAILABLE)]
    )

    assert json.loads(body) == {
        "model_version_status": [
            {
                "version": "12",
                "state": "END",
                "status": {"error_code": "UNKNOWN", "error_message": "it is broken"},
            },
            {
                "version": "3",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            },
        ]
    }


def test_metadata_has_protobufs_form():
    definition = signature(
        {"features": spec("float32", -1, 3, name="serving_default_features:0")},
        {"label": TensorSpec("out:0", 7, None)},
    )

    assert json.loads(encode_metadata("housing", 3, {"serving_default": definition})) == {
        "model_spec": {"name": "housing", "signature_name": "", "version": "3"},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {
                            "features": {
                                "dtype": "DT_FLOAT",
                                "tensor_shape": {
                                    "dim": [{"size": "-1", "name": ""}, {"size": "3", "name": ""}],
                                    "unknown_rank": False,
                                },
                                "name": "serving_default_features:0",
                            }
                        },
                        "outputs": {
                            "label": {
                                "dtype": "DT_STRING",
                                "tensor_shape": {"dim": [], "unknown_rank": True},
                                "name": "out:0",
                            }
                        },
                        "method_name": "tensorflow/serving/predict",
                        "defaults": {},
                    }
                }
            }
        },
    }
