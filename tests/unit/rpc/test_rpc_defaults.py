"""Inputs that a Predict request may leave out: a signature's defaults."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from service.errors import InvalidRequest
from service.inference.signature import Signature, read_saved_model
from service.messages import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_log_pb2,
    saved_model_pb2,
    tensor_pb2,
)
from service.protocols import tensor_proto
from service.protocols.tensorflow_serving import encode_metadata
from service.protocols.tensorflow_serving_grpc import metadata_response, to_inputs
from service.protocols.warm_up import read_warm_up
from tests.unit.inference.test_inference_warm_up import framed
from tests.unit.service.fakes import SUM_BY_NAME, signature, spec, version

if TYPE_CHECKING:
    from pathlib import Path


def tensor(value: float, *, as_content: bool = False) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto()
    tensor_proto.fill(proto, np.array([value], np.float32), as_content=as_content)
    return proto


DEFAULTS = {"AGE": tensor(50.0), "LSTAT": tensor(12.5, as_content=True)}


def given(*names: str, model: Signature = SUM_BY_NAME, defaults: Any = DEFAULTS) -> dict[str, Any]:
    request = predict_pb2.PredictRequest()
    for name in names:
        request.inputs[name].CopyFrom(tensor(7.0))
    inputs = to_inputs(request, model, defaults, 2**20)
    return {name: it.tolist() for name, it in inputs.items()}


def refusal(*names: str, **rest: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        given(*names, **rest)
    return refused.value.message


def test_defaults_stand_for_what_is_left_out():
    assert given("RM") == {"RM": [7.0], "AGE": [50.0], "LSTAT": [12.5]}


def test_what_is_sent_goes_before_its_default():
    assert given("RM", "AGE") == {"RM": [7.0], "AGE": [7.0], "LSTAT": [12.5]}
    assert given("RM", "AGE", "LSTAT") == {"RM": [7.0], "AGE": [7.0], "LSTAT": [7.0]}


def test_an_input_without_a_default_must_be_sent():
    assert refusal("AGE") == (
        "Signature input alias: RM(feed name: x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {AGE}, or default input alias set: "
        "AGE,LSTAT"
    )


def test_without_defaults_a_missing_input_is_told_by_the_sizes():
    assert refusal("RM", "AGE", defaults={}) == (
        "input size does not match signature: 2!=3 len({AGE,RM}) != len({AGE,LSTAT,RM}). "
        "Sent extra: {}. Missing but required: {LSTAT}."
    )


def test_an_input_that_is_not_known_is_refused_whatever_has_a_default():
    assert refusal("RM", "AGE", "LSTAT", "z").startswith(
        "input size does not match signature: 4!=3"
    )
    assert refusal("RM", "z") == (
        "Inputs contains invalid name. Used request inputs: RM, request input: RM,z"
    )


def test_a_default_of_another_type_is_refused_as_an_input_would_be():
    whole = tensor_pb2.TensorProto()
    tensor_proto.fill(whole, np.array([1], np.int32), as_content=False)
    one = signature({"x": spec("float32", -1)})

    assert refusal(model=one, defaults={"x": whole}) == (
        "input x has type DT_INT32, expected DT_FLOAT"
    )


def test_defaults_are_read_from_the_saved_model(tmp_path: Path):
    model = saved_model_pb2.SavedModel()
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    graph.signature_def["serving_default"].defaults["AGE"].CopyFrom(DEFAULTS["AGE"])
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())

    assert read_saved_model(tmp_path)["serving_default"].defaults == {"AGE": DEFAULTS["AGE"]}


def test_metadata_over_grpc_has_the_defaults():
    described = version()
    signatures = {"named": replace(SUM_BY_NAME, defaults=DEFAULTS)}
    response = metadata_response(replace(described, signatures=signatures))

    definitions = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(definitions)
    assert dict(definitions.signature_def["named"].defaults) == DEFAULTS


def test_metadata_over_rest_has_the_defaults_as_protobufs_json_does():
    tensor = tensor_pb2.TensorProto(dtype=9, int64_val=[2**53 + 1], tensor_content=b"\x00\xff")
    tensor.tensor_shape.dim.add(size=1)
    told = json.loads(encode_metadata("m", 1, {"s": replace(SUM_BY_NAME, defaults={"RM": tensor})}))

    shown = told["metadata"]["signature_def"]["signature_def"]["s"]["defaults"]["RM"]
    assert shown["dtype"] == "DT_INT64"
    assert shown["tensor_shape"] == {"dim": [{"size": "1", "name": ""}], "unknown_rank": False}
    assert shown["int64_val"] == ["9007199254740993"]  # as text: JSON's numbers end at 2**53
    assert shown["tensor_content"] == "AP8="  # base64
    # Fields that are empty are shown too.
    assert (shown["float_val"], shown["version_number"]) == ([], 0)


def test_a_warm_up_request_may_leave_out_what_has_a_default(tmp_path: Path):
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = "named"
    request.inputs["RM"].CopyFrom(DEFAULTS["AGE"])
    (tmp_path / "requests").write_bytes(framed(log.SerializeToString()))
    signatures = {"named": replace(SUM_BY_NAME, defaults=DEFAULTS)}

    (record,) = read_warm_up(tmp_path / "requests", signatures)

    inputs = {name: it.tolist() for name, it in record.inputs.items()}
    assert inputs == {"RM": [50.0], "AGE": [50.0], "LSTAT": [12.5]}
