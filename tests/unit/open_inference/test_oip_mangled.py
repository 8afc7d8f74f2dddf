"""No body, however mangled, is our fault."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import HearthError, InternalError, InvalidRequest
from service.protocols import open_inference_pb2 as messages
from service.protocols.open_inference_grpc import parse_outputs
from tests.unit.open_inference.world import DATATYPES

EXAMPLES = settings(max_examples=200)
RAW = b"\x00\x00\x80\x3f" * 6
VALID = (
    b'{"id":"1","inputs":[{"name":"features","shape":[2,3],"datatype":"FP32",'
    b'"parameters":{"binary_data_size":24}}],"parameters":{"binary_data_output":true},'
    b'"outputs":[{"name":"price","parameters":{"binary_data":true}}]}'
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
NAMES = st.sampled_from(["features", "x", "RM", "AGE", "LSTAT", "price", ""])
SIZES = st.lists(st.integers(-2, 4) | st.sampled_from([0, 2**31, 2**63, 2**80]), max_size=40)
PARAMETERS = st.dictionaries(
    st.sampled_from(["binary_data_size", "binary_data", "content_type", "signature_name"])
    | st.text(max_size=4),
    st.integers(-1, 2**70) | st.text(max_size=4) | st.booleans() | ANYTHING,
    max_size=3,
)
INPUTS = st.fixed_dictionaries(
    {"name": NAMES, "shape": SIZES, "datatype": st.sampled_from([*DATATYPES, "BF16", "x"])},
    optional={"data": ANYTHING | st.lists(st.integers(), max_size=6), "parameters": PARAMETERS},
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(INPUTS, max_size=3)},
    optional={
        "id": st.text(max_size=3),
        "parameters": PARAMETERS,
        "outputs": st.lists(st.fixed_dictionaries({"name": NAMES}), max_size=2),
    },
)
MODELS = st.sampled_from(
    ["housing", "echo_BYTES", "echo_INT8", "echo_FP16", "echo_BOOL", "fixed", "open"]
)


def refused_or_answered(response) -> bool:
    return response.status in {200, 400, 403, 404, 413, 503}


@EXAMPLES
@given(body=st.binary(max_size=300), length=st.none() | st.text(max_size=4) | st.integers(0, 400))
def test_bytes_from_anywhere(world, body, length):
    headers = {} if length is None else {"inference_header_content_length": str(length)}

    assert refused_or_answered(world.infer("housing", body, **headers))


@EXAMPLES
@given(
    place=st.integers(0, len(VALID + RAW) - 1),
    piece=st.binary(max_size=8),
    cut=st.integers(0, 8),
    length=st.integers(0, len(VALID) + 8),
)
def test_a_valid_body_with_a_wound(world, place, piece, cut, length):
    body = VALID + RAW
    body = body[:place] + piece + body[place + cut :]

    response = world.infer("housing", body, inference_header_content_length=str(length))

    assert refused_or_answered(response)


@EXAMPLES
@given(document=ANYTHING)
def test_any_json(world, document):
    assert refused_or_answered(world.infer("housing", json.dumps(document).encode()))


@EXAMPLES
@given(model=MODELS, document=REQUESTS, tail=st.binary(max_size=60))
def test_requests_of_the_right_form_and_any_content(world, model, document, tail):
    text = json.dumps(document).encode()

    assert refused_or_answered(world.infer(model, text))
    length = str(len(text))
    assert refused_or_answered(
        world.infer(model, text + tail, inference_header_content_length=length)
    )


@EXAMPLES
@given(model=MODELS, body=st.binary(max_size=100))
def test_bare_bodies(world, model, body):
    response = world.infer(model, body, inference_header_content_length="0")

    assert refused_or_answered(response)


@EXAMPLES
@given(body=st.binary(max_size=60), verb=st.sampled_from(["index", "models/housing/load"]))
def test_bodies_for_the_repository(world, body, verb):
    assert refused_or_answered(world.post(f"/v2/repository/{verb}", body))


def contents(draw, message):
    for field, values in {
        "bool_contents": st.booleans(),
        "int_contents": st.integers(-(2**31), 2**31 - 1),
        "uint_contents": st.integers(0, 2**32 - 1),
        "fp32_contents": st.floats(width=32),
        "bytes_contents": st.binary(max_size=4),
    }.items():
        if draw(st.booleans()):
            getattr(message, field).extend(draw(st.lists(values, max_size=6)))


@st.composite
def calls(draw):
    """A ModelInfer request of any content."""
    request = messages.ModelInferRequest(model_name=draw(MODELS))
    sizes = st.lists(st.integers(-2, 4) | st.sampled_from([2**31, 2**63 - 1]), max_size=40)
    for _ in range(draw(st.integers(0, 2))):
        x = request.inputs.add(
            name=draw(NAMES), datatype=draw(st.sampled_from([*DATATYPES, "x"])), shape=draw(sizes)
        )
        if draw(st.booleans()):
            contents(draw, x.contents)
    request.raw_input_contents.extend(draw(st.lists(st.binary(max_size=30), max_size=2)))
    return request


@EXAMPLES
@given(request_message=calls())
def test_calls_of_any_content(world, request_message):
    try:
        world.infer_rpc(request_message, world.exchange())
    except HearthError as error:
        assert not isinstance(error, InternalError)  # noqa: PT017 - it need not be raised


@EXAMPLES
@given(message=calls())
def test_answers_of_another_server_of_any_content(message):
    raw = message.raw_input_contents
    response = messages.ModelInferResponse(raw_output_contents=list(raw))
    for it in message.inputs:
        output = response.outputs.add(name=it.name, datatype=it.datatype, shape=it.shape)
        if it.HasField("contents"):
            output.contents.CopyFrom(it.contents)

    with contextlib.suppress(InvalidRequest):  # and nothing else
        parse_outputs(response)
