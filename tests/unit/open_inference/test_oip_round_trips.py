"""What is sent to a model that echoes comes back, in each form and of each datatype."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from service.protocols import open_inference_pb2 as messages
from service.protocols.open_inference_tensors import NUMPY, from_raw, to_raw
from tests.unit.open_inference.world import DATATYPES, IN_JSON, binary, document, split

SHAPES = npst.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4)
EXAMPLES = settings(max_examples=40)


@st.composite
def arrays(draw, datatype, *, text=False):
    """An array of two dimensions; strings are bytes, or text where the form knows no bytes."""
    dtype = np.dtype(DATATYPES[datatype])
    shape = draw(SHAPES)
    if dtype.kind != "O":
        return draw(npst.arrays(dtype, shape))
    plain = st.text(max_size=5).map(str.encode) if text else st.binary(max_size=5)
    count = math.prod(shape)
    flat = np.empty(count, object)
    flat[:] = draw(st.lists(plain, min_size=count, max_size=count))
    return flat.reshape(shape)


def same(before: np.ndarray, after: np.ndarray) -> bool:
    """Equal in shape, type and every value; NaN is NaN."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    return np.array_equal(before, after, equal_nan=before.dtype.kind == "f")


def test_every_datatype_is_numpys_of_that_name():
    assert {name: dtype.name for name, dtype in NUMPY.items()} == DATATYPES


@pytest.mark.parametrize(
    ("datatype", "values", "raw"),
    [
        ("BOOL", [True, False], b"\x01\x00"),
        ("UINT8", [1, 255], b"\x01\xff"),
        ("INT8", [1, -1], b"\x01\xff"),
        ("UINT16", [1, 0xABCD], b"\x01\x00\xcd\xab"),
        ("INT32", [1, -2], b"\x01\x00\x00\x00\xfe\xff\xff\xff"),
        ("UINT64", [2**63, 1], b"\x00" * 7 + b"\x80\x01" + b"\x00" * 7),
        ("FP16", [1.0, -2.0], b"\x00\x3c\x00\xc0"),
        ("FP32", [1.0, 0.5], b"\x00\x00\x80\x3f\x00\x00\x00\x3f"),
        ("FP64", [1.0, -2.0], b"\x00" * 6 + b"\xf0\x3f" + b"\x00" * 6 + b"\x00\xc0"),
        ("BYTES", [b"ab", b""], b"\x02\x00\x00\x00ab\x00\x00\x00\x00"),
    ],
)
def test_raw_tensors_are_little_endian_and_strings_have_their_length_before_them(
    datatype, values, raw
):
    array = np.array(values, NUMPY[datatype])

    assert to_raw(array) == raw
    assert same(from_raw("x", datatype, [2], raw).array, array)


def test_a_big_endian_or_turned_array_is_written_in_order():
    turned = np.arange(4, dtype=">i2").reshape(2, 2).T

    assert to_raw(turned) == b"\x00\x00\x02\x00\x01\x00\x03\x00"


def test_a_byte_that_is_no_bool_counts_as_true():
    assert from_raw("x", "BOOL", [3], b"\x00\x02\xff").array.tolist() == [False, True, True]


@pytest.mark.parametrize("datatype", DATATYPES)
@EXAMPLES
@given(data=st.data())
def test_bytes_over_rest_come_back(world, datatype, data):
    array = data.draw(arrays(datatype))
    raw = to_raw(array)
    parameters = {"binary_data_size": len(raw)}
    x = {"name": "x", "shape": array.shape, "datatype": datatype, "parameters": parameters}
    head = {"inputs": [x], "parameters": {"binary_data_output": True}}
    body, length = binary(head, raw)

    response = world.infer(f"echo_{datatype}", body, inference_header_content_length=length)

    answered, tail = split(response)
    (y,) = answered["outputs"]
    assert (y["datatype"], y["shape"]) == (datatype, list(array.shape))
    assert tail == raw
    assert same(from_raw("y", datatype, y["shape"], tail).array, array)


@pytest.mark.parametrize("datatype", IN_JSON)
@pytest.mark.parametrize("nested", [True, False])
@EXAMPLES
@given(data=st.data())
def test_json_comes_back(world, datatype, nested, data):
    array = data.draw(arrays(datatype, text=True))
    values = (array if nested else array.ravel()).tolist()
    text = json.dumps(values, default=bytes.decode)
    x = f'"name":"x","shape":{list(array.shape)},"datatype":"{datatype}","data":{text}'

    response = world.infer(f"echo_{datatype}", f'{{"inputs":[{{{x}}}]}}'.encode())

    (y,) = document(response)["outputs"]
    assert (y["datatype"], y["shape"]) == (datatype, list(array.shape))
    if datatype == "BYTES":
        assert y["data"] == [it.decode() for it in array.ravel()]
    else:
        assert same(np.array(y["data"], array.dtype).reshape(array.shape), array)


@pytest.mark.parametrize("datatype", DATATYPES)
@EXAMPLES
@given(data=st.data())
def test_raw_tensors_over_grpc_come_back_raw(world, datatype, data):
    array = data.draw(arrays(datatype))
    request = messages.ModelInferRequest(model_name=f"echo_{datatype}", id="7")
    request.inputs.add(name="x", datatype=datatype, shape=array.shape)
    request.raw_input_contents.append(to_raw(array))

    response = world.infer_rpc(request, world.exchange())

    (y,) = response.outputs
    assert (response.id, y.datatype, list(y.shape)) == ("7", datatype, list(array.shape))
    assert list(response.raw_output_contents) == [to_raw(array)]
    assert not y.HasField("contents")


FIELDS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@pytest.mark.parametrize("datatype", IN_JSON)
@EXAMPLES
@given(data=st.data())
def test_typed_tensors_over_grpc_come_back_typed(world, datatype, data):
    array = data.draw(arrays(datatype))
    request = messages.ModelInferRequest(model_name=f"echo_{datatype}")
    x = request.inputs.add(name="x", datatype=datatype, shape=array.shape)
    getattr(x.contents, FIELDS[datatype]).extend(array.ravel().tolist())

    response = world.infer_rpc(request, world.exchange())

    (y,) = response.outputs
    values = list(getattr(y.contents, FIELDS[datatype]))
    assert not response.raw_output_contents
    assert same(np.array(values, array.dtype).reshape(list(y.shape)), array)
