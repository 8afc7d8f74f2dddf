"""Requests hold the rows, and only the right prices pass."""

from __future__ import annotations

import json
import struct

import pytest

from benchmarks import forms
from benchmarks.forms import Reply, WrongAnswer
from service.messages import predict_pb2
from service.protocols import open_inference_pb2

ROWS = [[6.0, 50.0, 12.5], [5.0, 25.0, 3.25]]
PRICES = [20.5, 31.25]
RAW = struct.pack("<2f", *PRICES)


def test_tensorflow_serving_s_request_has_the_instances():
    request = forms.tensorflow_serving().write(ROWS)

    assert json.loads(request.body) == {"instances": ROWS}
    assert request.path == "/v1/models/housing:predict"


def test_v2_s_request_has_one_tensor():
    (tensor,) = json.loads(forms.open_inference().write(ROWS).body)["inputs"]

    assert tensor == {
        "name": "features",
        "shape": [2, 3],
        "datatype": "FP32",
        "data": [6.0, 50.0, 12.5, 5.0, 25.0, 3.25],
    }


def test_v2_s_binary_request_has_the_numbers_behind_its_json():
    request = forms.open_inference_binary().write(ROWS)
    length = int(request.headers["Inference-Header-Content-Length"])

    assert struct.unpack("<6f", request.body[length:]) == (6.0, 50.0, 12.5, 5.0, 25.0, 3.25)
    (tensor,) = json.loads(request.body[:length])["inputs"]
    assert tensor["parameters"] == {"binary_data_size": 24}


def test_a_grpc_request_is_one_frame():
    request = forms.grpc_predict().write(ROWS)
    compressed, size = struct.unpack(">BI", request.body[:5])
    message = predict_pb2.PredictRequest.FromString(request.body[5:])

    assert (compressed, size) == (0, len(request.body) - 5)
    assert request.grpc
    assert message.inputs["features"].tensor_content == struct.pack("<6f", *ROWS[0], *ROWS[1])
    assert [dim.size for dim in message.inputs["features"].tensor_shape.dim] == [2, 3]


def predict_answer(**output: object) -> Reply:
    message = predict_pb2.PredictResponse()
    for name, value in output.items():
        if name == "float_val":
            message.outputs["price"].float_val.extend(value)
        else:
            setattr(message.outputs["price"], name, value)
    return Reply(forms.framed(message.SerializeToString()))


def infer_answer(*, raw: bool) -> Reply:
    message = open_inference_pb2.ModelInferResponse()
    output = message.outputs.add(name="price")
    if raw:
        message.raw_output_contents.append(RAW)
    else:
        output.contents.fp32_contents.extend(PRICES)
    return Reply(forms.framed(message.SerializeToString()))


def json_reply(value: object) -> Reply:
    return Reply(json.dumps(value).encode())


REPLIES = [
    (forms.tensorflow_serving(), json_reply({"predictions": PRICES})),
    (forms.tensorflow_serving(), json_reply({"predictions": [[20.5], [31.25]]})),
    (forms.open_inference(), json_reply({"outputs": [{"name": "price", "data": PRICES}]})),
    (forms.open_inference_binary(), Reply(b"{}" + RAW, {"inference-header-content-length": "2"})),
    (forms.grpc_predict(), predict_answer(tensor_content=RAW)),
    (forms.grpc_predict(), predict_answer(float_val=PRICES)),
    (forms.grpc_infer(), infer_answer(raw=True)),
    (forms.grpc_infer(), infer_answer(raw=False)),
    (forms.plain("/predict", "rows"), json_reply(PRICES)),
    (forms.plain("/predict", "rows"), json_reply({"output": PRICES})),
]


@pytest.mark.parametrize(("form", "reply"), REPLIES)
def test_the_right_prices_pass(form, reply):
    form.check(reply, PRICES)


@pytest.mark.parametrize(("form", "reply"), REPLIES)
@pytest.mark.parametrize("expected", [[20.5, 31.26], [20.5], [20.5, 31.25, 1.0], [31.25, 20.5]])
def test_other_prices_do_not(form, reply, expected):
    with pytest.raises(WrongAnswer):
        form.check(reply, expected)


@pytest.mark.parametrize(("form", "reply"), REPLIES)
def test_a_cut_answer_does_not(form, reply):
    with pytest.raises(WrongAnswer):
        form.check(Reply(reply.body[:-1], reply.headers), PRICES)


def test_not_a_number_does_not():
    with pytest.raises(WrongAnswer):
        forms.tensorflow_serving().check(Reply(b'{"predictions": [20.5, NaN]}'), PRICES)
