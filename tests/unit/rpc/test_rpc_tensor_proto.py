"""TensorProto against values packed by hand with struct, and against NumPy."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.errors import HearthError, InvalidRequest
from service.inference.signature import DTYPES
from service.messages import tensor_pb2, types_pb2
from service.protocols.tensor_proto import decode, fill, type_name

LIMIT = 2**20

# TensorFlow's type, its typed field, struct's code of one value, and two values.
NUMBERS = [
    ("DT_FLOAT", "float_val", "f", [1.5, -2.25]),
    ("DT_DOUBLE", "double_val", "d", [0.1, -1e300]),
    ("DT_INT32", "int_val", "i", [2**31 - 1, -(2**31)]),
    ("DT_UINT8", "int_val", "B", [255, 0]),
    ("DT_INT16", "int_val", "h", [32767, -32768]),
    ("DT_INT8", "int_val", "b", [127, -128]),
    ("DT_UINT16", "int_val", "H", [65535, 0]),
    ("DT_INT64", "int64_val", "q", [2**63 - 1, -(2**63)]),
    ("DT_BOOL", "bool_val", "?", [True, False]),
    ("DT_UINT32", "uint32_val", "I", [2**32 - 1, 0]),
    ("DT_UINT64", "uint64_val", "Q", [2**64 - 1, 0]),
]
NAMES = [name for name, *_ in NUMBERS]


def proto(kind: str, shape, **fields) -> tensor_pb2.TensorProto:
    made = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(kind), **fields)
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    return made


def encode(array: np.ndarray, *, as_content: bool) -> tensor_pb2.TensorProto:
    made = tensor_pb2.TensorProto()
    fill(made, array, as_content=as_content)
    return made


def read(message: tensor_pb2.TensorProto, limit: int = LIMIT):
    return decode(message, "x", limit)


def refusal(message: tensor_pb2.TensorProto, limit: int = LIMIT) -> str:
    with pytest.raises(InvalidRequest) as refused:
        read(message, limit)
    return refused.value.message


@pytest.mark.parametrize(("kind", "field", "code", "values"), NUMBERS, ids=NAMES)
def test_a_typed_field_and_tensor_content_hold_the_same_numbers(kind, field, code, values):
    typed = read(proto(kind, [2], **{field: values}))
    packed = read(proto(kind, [2], tensor_content=struct.pack(f"<2{code}", *values)))

    assert typed.tolist() == packed.tolist() == values
    assert typed.dtype == packed.dtype
    assert typed.dtype.itemsize == struct.calcsize(f"<{code}")


def test_a_half_is_sent_as_its_bits():
    # IEEE 754 binary16: 1.5 is 0x3e00, -inf is 0xfc00.
    typed = read(proto("DT_HALF", [2], half_val=[0x3E00, 0xFC00]))

    assert typed.dtype == np.float16
    assert typed.tolist() == [1.5, -math.inf]
    assert list(encode(typed, as_content=False).half_val) == [0x3E00, 0xFC00]
    packed = proto("DT_HALF", [2], tensor_content=struct.pack("<2e", 1.5, -math.inf))
    assert read(packed).tolist() == [1.5, -math.inf]


def test_strings_are_bytes():
    array = read(proto("DT_STRING", [2, 1], string_val=[b"\xff\x00", b""]))

    assert array.shape == (2, 1)
    assert array.tolist() == [[b"\xff\x00"], [b""]]


def test_strings_may_be_packed_as_lengths_and_bytes():
    # 200 as a varint is c8 01.
    content = b"\x02\xc8\x01\x00" + b"ab" + b"x" * 200

    assert read(proto("DT_STRING", [3], tensor_content=content)).tolist() == [
        b"ab",
        b"x" * 200,
        b"",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x02", "no 2 lengths"),
        (b"\x80\x80", "no 2 lengths"),
        (b"\x01\x01a", "strings of 2 bytes, but tensor_content has 1"),
        (b"\x01\x01abc", "strings of 2 bytes, but tensor_content has 3"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x01", "but tensor_content has"),
    ],
)
def test_strings_packed_wrongly_are_refused(content, said):
    assert said in refusal(proto("DT_STRING", [2], tensor_content=content))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [([7.0], [[7.0, 7.0], [7.0, 7.0]]), ([1.0, 2.0, 3.0], [[1.0, 2.0], [3.0, 3.0]])],
)
def test_a_short_field_is_filled_up_with_its_last_value(sent, expected):
    assert read(proto("DT_FLOAT", [2, 2], float_val=sent)).tolist() == expected


def test_short_strings_are_filled_up_too():
    array = read(proto("DT_STRING", [3], string_val=[b"a", b"b"]))

    assert array.tolist() == [b"a", b"b", b"b"]


def test_a_scalar_has_no_dimensions():
    array = read(proto("DT_INT64", [], int64_val=[5]))

    assert array.shape == ()
    assert array.tolist() == 5


@pytest.mark.parametrize("shape", [[0], [3, 0], [0, 3]])
def test_no_rows_are_no_values(shape):
    assert read(proto("DT_FLOAT", shape)).shape == tuple(shape)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (proto("DT_FLOAT", [2], float_val=[1, 2, 3]), "shape [2], 2 values, but 3 were sent"),
        (proto("DT_FLOAT", [2]), "shape [2], 2 values, but 0 were sent"),
        (proto("DT_FLOAT", [2], double_val=[1, 2]), "shape [2], 2 values, but 0 were sent"),
        (proto("DT_FLOAT", [0], float_val=[1]), "shape [0], 0 values, but 1 were sent"),
        (proto("DT_FLOAT", [2], tensor_content=b"1234567"), "8 bytes, but tensor_content has 7"),
        (proto("DT_FLOAT", [-1], float_val=[1]), "shape [-1]; sizes must not be negative"),
        (proto("DT_FLOAT", [1] * 33, float_val=[1]), "33 dimensions, the limit is 32"),
        (proto("DT_FLOAT", [2**40], float_val=[1]), f"{2**42} bytes; the limit is {LIMIT}"),
        (proto("DT_FLOAT", [2**62] * 3, float_val=[1]), f"bytes; the limit is {LIMIT}"),
        (proto("DT_STRING", [2**30], string_val=[b"a"]), f"{2**33} bytes; the limit is {LIMIT}"),
        (proto("DT_FLOAT", [0, 2**62]), "its sizes are too large"),
        (proto("DT_UINT8", [1], int_val=[256]), "the value 256, outside uint8"),
        (proto("DT_INT8", [2], int_val=[1, -129]), "the value -129, outside int8"),
        (proto("DT_HALF", [1], half_val=[65536]), "the value 65536, outside"),
        (proto("DT_RESOURCE", [1]), "type DT_RESOURCE, which is not known"),
        (proto("DT_INVALID", [1], float_val=[1]), "type DT_INVALID, which is not known"),
        (tensor_pb2.TensorProto(dtype=9999), "type 9999, which is not known"),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_place(message, said):
    text = refusal(message)

    assert text.startswith("input x has ")
    assert said in text


def test_an_unknown_rank_is_refused():
    message = proto("DT_FLOAT", [], float_val=[1])
    message.tensor_shape.unknown_rank = True

    assert refusal(message) == "input x has no shape"


def test_the_limit_itself_is_allowed():
    assert read(proto("DT_FLOAT", [4], float_val=[1]), limit=16).size == 4
    assert "limit is 15" in refusal(proto("DT_FLOAT", [4], float_val=[1]), limit=15)


def test_every_type_that_a_signature_may_have_is_read_and_written():
    for number, dtype in DTYPES.items():
        array = np.zeros(2, dtype) if dtype.kind != "O" else np.array([b"a", b"b"], object)
        message = encode(array, as_content=False)
        assert message.dtype == number
        assert read(message).tolist() == array.tolist()


def test_text_is_written_as_utf8():
    assert list(encode(np.array(["ä"]), as_content=False).string_val) == [b"\xc3\xa4"]


@pytest.mark.parametrize("as_content", [False, True])
def test_a_transposed_array_is_written_row_by_row(as_content):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T

    message = encode(array, as_content=as_content)

    assert [dim.size for dim in message.tensor_shape.dim] == [3, 2]
    assert bool(message.tensor_content) is as_content
    assert read(message).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_types_have_tensorflows_names():
    assert (type_name(1), type_name(7), type_name(12345)) == ("DT_FLOAT", "DT_STRING", "12345")


SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
NUMERIC = [dtype for dtype in DTYPES.values() if dtype.kind in "fiub"]


@given(
    st.sampled_from(NUMERIC).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)),
    st.booleans(),
)
def test_numbers_come_back_as_they_went(array, as_content):
    message = encode(array, as_content=as_content)
    returned = read(tensor_pb2.TensorProto.FromString(message.SerializeToString()))

    assert returned.dtype == array.dtype
    assert returned.shape == array.shape
    np.testing.assert_array_equal(returned, array)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_strings_come_back_as_they_went(values):
    array = np.array([*values, None], object)[:-1]

    assert read(encode(array, as_content=True)).tolist() == values


MANGLED = st.builds(
    tensor_pb2.TensorProto,
    dtype=st.integers(0, 130),
    tensor_shape=st.builds(
        lambda sizes, unknown: {"dim": [{"size": it} for it in sizes], "unknown_rank": unknown},
        st.lists(st.integers(-2, 5) | st.integers(-(2**63), 2**63 - 1), max_size=4),
        st.booleans(),
    ),
    tensor_content=st.binary(max_size=40),
    float_val=st.lists(st.floats(width=32), max_size=9),
    double_val=st.lists(st.floats(), max_size=9),
    int_val=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9),
    half_val=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9),
    string_val=st.lists(st.binary(max_size=5), max_size=9),
    int64_val=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9),
    bool_val=st.lists(st.booleans(), max_size=9),
    uint32_val=st.lists(st.integers(0, 2**32 - 1), max_size=9),
    uint64_val=st.lists(st.integers(0, 2**64 - 1), max_size=9),
)


def outcome(message: tensor_pb2.TensorProto) -> object:
    try:
        return read(message)
    except HearthError as error:
        return error.message


@given(MANGLED)
def test_a_mangled_message_is_refused_or_read_as_it_says(message):
    result = outcome(message)

    if isinstance(result, str):
        assert result.startswith("input x has ")
    else:
        assert result.shape == tuple(dim.size for dim in message.tensor_shape.dim)
        assert result.dtype == DTYPES[message.dtype]
        assert result.nbytes <= LIMIT
