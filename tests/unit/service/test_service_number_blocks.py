"""Blocks of numbers are read as Python's own parser reads them, or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.protocols.number_block import read_block
from service.protocols.tensorflow_serving import parse_inference, to_inputs
from tests.unit.service.fakes import signature, spec

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
)
FILL = [[1.5, 2, -3e2]] * 500


def nothing():
    raise AssertionError("nobody asked for lists")


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4).flatmap(
        lambda shape: arrays.arrays(object, tuple(shape), elements=NUMBERS)
    ),
    st.sampled_from([None, 1]),
)
def test_a_block_has_the_shape_and_the_numbers_of_its_text(block, indent):
    text = json.dumps({"instances": block.tolist()}, indent=indent).encode()

    read = read_block(text, "instances", plain=nothing)

    assert read is not None
    assert read.numbers.tolist() == np.array(json.loads(text)["instances"], np.float64).tolist()


@pytest.mark.parametrize(
    "text",
    [
        b"[[1, 2, 3, 4], [5, 6]]",
        b"[[1, 2], [3]]",
        b"[[1], [[2]]]",
        b"[1, [2]]",
        b"[[1, 2], 3]",
        b"[[1, true]]",
        b"[[1, null]]",
        b'[[1, "2"]]',
        b"[[1, {}]]",
        b"[[], []]",
        b"[]",
        b"1",
        b"[[1, NaN]]",
        b"[[1, 1e999]]",
        b"[[1, 2]",
        b"[[1, 2]] x",
        b"[1, 123456789012345678901234567890]",
        b"[01]",
        b"[1..2]",
        b"[1e]",
        b"[- 1]",
        b"[1 2]",
        b"\xff",
        b"",
    ],
)
def test_what_is_no_regular_block_is_left_to_others(text):
    assert read_block(text, plain=nothing) is None


def test_a_member_that_is_not_there_is_no_block():
    assert read_block(b'{"instances": [1]}', "inputs", plain=nothing) is None
    assert read_block(b"[1]", "inputs", plain=nothing) is None


BATCH = signature({"x": spec("float32", -1, 3)})
WHOLE = signature({"x": spec("int32", -1, 3)})


def read(body: bytes, signature=BATCH):
    return to_inputs(parse_inference(body), signature)


@pytest.mark.parametrize(
    "document",
    [
        {"instances": FILL},
        {"signature_name": "serving_default", "instances": FILL},
        {"inputs": FILL},
        {"inputs": {"x": FILL}},
        {"signature_name": "", "inputs": {"x": FILL}},
    ],
    ids=str,
)
def test_a_large_request_is_read_without_lists(document, monkeypatch):
    monkeypatch.setattr("service.protocols.json_body.parse", lambda _: nothing())

    (batch,) = read(json.dumps(document).encode()).values()

    assert batch.dtype == np.float32
    assert batch.tolist() == np.array(FILL, np.float32).tolist()


@pytest.mark.parametrize(
    "document",
    [
        {"instances": FILL, "signature_name": "x"},
        {"instances": [{"x": row} for row in FILL]},
        {"instances": FILL, "more": [1]},
    ],
    ids=",".join,
)
def test_another_large_request_is_read_as_a_small_one_is(document):
    (batch,) = read(json.dumps(document).encode()).values()

    assert batch.tolist() == np.array(FILL, np.float32).tolist()


def test_whole_numbers_stay_whole_numbers_in_a_large_request():
    rows = [[2**24 + 1, -7, 0]] * 500

    (batch,) = read(json.dumps({"instances": rows}).encode(), WHOLE).values()

    assert batch.tolist() == rows
    with pytest.raises(Exception, match="is not of expected type: int32"):
        read(json.dumps({"instances": [[1.5, 2, 3]] * 500}).encode(), WHOLE)


def test_what_is_wrong_with_a_large_request_is_said_as_of_a_small_one():
    for rows in ([[1, "x", 3]], [[1, 2], [3]]):
        said = []
        for many in (rows, [*rows, *[rows[0]] * 500]):
            with pytest.raises(Exception, match="Failed to process element") as caught:
                read(json.dumps({"instances": many}).encode())
            said.append(str(caught.value))
        assert said[0] == said[1]
