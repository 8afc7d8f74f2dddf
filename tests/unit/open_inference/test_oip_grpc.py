"""The calls of GRPCInferenceService, each handed its message."""

from __future__ import annotations

import struct

import pytest
from google.protobuf import json_format

from service.errors import Forbidden, InvalidRequest, ModelNotFound, NotReady
from service.protocols import open_inference_pb2 as messages
from tests.unit.open_inference.world import Control, World, document
from tests.unit.service.fakes import Adder

ROWS = [1, 2, 3, 4, 5, 6]
RAW = struct.pack("<6f", *ROWS)


def request(*, raw=None, values=(), **fields):
    made = messages.ModelInferRequest(model_name="housing", id="42", **fields)
    x = made.inputs.add(name="features", datatype="FP32", shape=[2, 3])
    x.contents.fp32_contents.extend(values)
    if not values:
        x.ClearField("contents")
    if raw is not None:
        made.raw_input_contents.append(raw)
    return made


def test_typed_in_is_typed_out(world):
    response = world.infer_rpc(request(values=ROWS), world.exchange())

    assert json_format.MessageToDict(response) == {
        "modelName": "housing",
        "modelVersion": "1",
        "id": "42",
        "outputs": [
            {
                "name": "price",
                "datatype": "FP32",
                "shape": ["2"],
                "contents": {"fp32Contents": [6.0, 15.0]},
            }
        ],
    }


def test_raw_in_is_raw_out(world):
    response = world.infer_rpc(request(raw=RAW), world.exchange())

    assert list(response.raw_output_contents) == [struct.pack("<2f", 6, 15)]
    assert not response.outputs[0].HasField("contents")


def test_an_output_without_a_typed_form_makes_the_answer_raw(tmp_path):
    class Half(Adder):
        def run(self, signature, inputs):
            return {"price": super().run(signature, inputs)["price"].astype("float16")}

    answered = World(tmp_path, {"housing": Half()})

    response = answered.infer_rpc(request(values=ROWS), answered.exchange())

    assert list(response.raw_output_contents) == [struct.pack("<2e", 6, 15)]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (request(raw=RAW, values=ROWS), "'features' has contents beside raw_input_contents"),
        (request(raw=RAW[1:]), "has shape [2,3] = 24 bytes of FP32 but 23 were given"),
        (request(values=ROWS[1:]), "has shape [2,3] = 6 elements but 5 were given"),
        (request(), "has shape [2,3] = 6 elements but 0 were given"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(world, made, message):
    with pytest.raises(InvalidRequest) as refused:
        world.infer_rpc(made, world.exchange())

    assert message in refused.value.message


def test_there_must_be_as_many_raw_contents_as_inputs(world):
    made = request(raw=RAW)
    made.raw_input_contents.append(RAW)

    with pytest.raises(InvalidRequest, match="there are 1 inputs but 2 raw_input_contents"):
        world.infer_rpc(made, world.exchange())


def test_values_in_another_types_field_are_refused(world):
    made = request(values=ROWS)
    made.inputs[0].contents.int_contents.append(1)

    with pytest.raises(InvalidRequest) as refused:
        world.infer_rpc(made, world.exchange())

    assert refused.value.message == (
        "input 'features' has datatype FP32, whose values stand in fp32_contents, "
        "not in int_contents"
    )


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "x"])
def test_a_datatype_that_has_no_field_is_refused(world, datatype):
    made = request(values=ROWS)
    made.inputs[0].datatype = datatype

    with pytest.raises(InvalidRequest, match=f"datatype '?{datatype}"):
        world.infer_rpc(made, world.exchange())


def test_a_whole_number_outside_its_datatype_is_refused(world):
    made = messages.ModelInferRequest(model_name="echo_INT8")
    made.inputs.add(name="x", datatype="INT8", shape=[1, 1]).contents.int_contents.append(128)

    with pytest.raises(InvalidRequest, match="has a value that is too large for INT8"):
        world.infer_rpc(made, world.exchange())


def test_a_shape_must_not_be_negative(world):
    made = request(raw=RAW)
    made.inputs[0].shape[:] = [-2, -3]

    with pytest.raises(InvalidRequest, match="sizes must not be negative"):
        world.infer_rpc(made, world.exchange())


def test_columns_and_signatures_are_named_by_parameters(world):
    for parameter, text in (("content_type", "pd"), ("signature_name", "named")):
        made = messages.ModelInferRequest(model_name="housing")
        made.parameters[parameter].string_param = text
        for name, value in (("LSTAT", 3), ("RM", 1), ("AGE", 2)):
            x = made.inputs.add(name=name, datatype="FP32", shape=[1])
            x.contents.fp32_contents.append(value)

        response = world.infer_rpc(made, world.exchange())

        assert list(response.outputs[0].contents.fp32_contents) == [6.0]


def test_outputs_come_as_asked_for(world):
    made = messages.ModelInferRequest(model_name="two")
    made.inputs.add(name="x", datatype="FP32", shape=[1, 2]).contents.fp32_contents.extend([1, 2])
    made.outputs.add(name="sum")

    response = world.infer_rpc(made, world.exchange())

    assert [it.name for it in response.outputs] == ["sum"]


def test_an_unknown_model_is_not_found_and_an_unready_one_not_available(world):
    with pytest.raises(ModelNotFound):
        world.infer_rpc(messages.ModelInferRequest(model_name="nobody"), world.exchange())
    with pytest.raises(NotReady):
        world.infer_rpc(messages.ModelInferRequest(model_name="empty"), world.exchange())


def test_a_server_without_a_model_to_serve_is_live_but_not_ready(tmp_path):
    idle = World(tmp_path, {}).rpc

    assert idle.live(messages.ServerLiveRequest(), None).live
    assert not idle.ready(messages.ServerReadyRequest(), None).ready


def test_readiness(world):
    def ready(name, version=""):
        asked = messages.ModelReadyRequest(name=name, version=version)
        return world.rpc.model_ready(asked, world.exchange()).ready

    assert world.rpc.live(messages.ServerLiveRequest(), world.exchange()).live
    assert world.rpc.ready(messages.ServerReadyRequest(), world.exchange()).ready
    assert ready("housing")
    assert ready("housing", "1")
    assert [ready("empty"), ready("nobody"), ready("housing", "7")] == [False] * 3


@pytest.mark.parametrize(
    ("call", "path", "asked", "wrap"),
    [
        ("server", "/v2", messages.ServerMetadataRequest(), None),
        ("metadata", "/v2/models/housing", messages.ModelMetadataRequest(name="housing"), None),
        (
            "config",
            "/v2/models/housing/config",
            messages.ModelConfigRequest(name="housing"),
            "config",
        ),
        ("statistics", "/v2/models/two/stats", messages.ModelStatisticsRequest(name="two"), None),
    ],
)
def test_documents_are_those_of_rest(world, call, path, asked, wrap):
    told = getattr(world.rpc, call)(asked, world.exchange())

    shown = document(world.get(path))
    shown = {wrap: shown} if wrap else shown
    assert told == json_format.ParseDict(shown, type(told)())
    assert told.ByteSize() > 0


def test_the_index_lists_every_model(world):
    told = world.rpc.index(messages.RepositoryIndexRequest(), world.exchange())
    ready = world.rpc.index(messages.RepositoryIndexRequest(ready=True), world.exchange())

    states = {it.name: it.state for it in told.models}
    assert (states["housing"], states["empty"]) == ("READY", "UNAVAILABLE")
    assert {it.name for it in ready.models} == set(states) - {"empty"}


def test_loading_is_switched_off_unless_somebody_does_it(world, tmp_path):
    load = messages.RepositoryModelLoadRequest(model_name="housing")
    unload = messages.RepositoryModelUnloadRequest(model_name="housing")
    with pytest.raises(Forbidden, match="models cannot be loaded by request"):
        world.rpc.load(load, world.exchange())
    with pytest.raises(Forbidden, match="models cannot be unloaded by request"):
        world.rpc.unload(unload, world.exchange())

    control = Control([])
    controlled = World(tmp_path, {}, control)
    controlled.rpc.load(load, controlled.exchange())
    controlled.rpc.unload(unload, controlled.exchange())
    assert control.asked == [("load", "housing"), ("unload", "housing")]
