"""A model whose signature has a default, as TensorFlow writes it, served by each executor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from service.messages import get_model_metadata_pb2, predict_pb2
from service.protocols import tensor_proto
from tests import models
from tests.integration.rpc.calling import Client, calling, fill, metadata, refused
from tests.servers import running_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

Code = grpc.StatusCode
X = np.array([1.0, 2.5], np.float32)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scaled")
    models.scaled(folder / "scaled" / "1")
    log = prediction_of(x=X)
    models.write_warm_up(folder / "scaled" / "1", [log])
    return folder


@pytest.fixture(scope="module", params=["auto", "tensorflow"])
def service(stored, tmp_path_factory, request) -> Iterator[Server]:
    with running_service(
        stored,
        name="scaled",
        executor=request.param,
        conversion_cache=tmp_path_factory.mktemp("cache"),
    ) as server:
        yield server


@pytest.fixture
def client(service) -> Iterator[Client]:
    with calling(service.grpc) as made:
        yield made


def asked(**inputs: np.ndarray) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    fill(request.model_spec, name="scaled")
    for name, value in inputs.items():
        tensor_proto.fill(request.inputs[name], value, as_content=False)
    return request


def prediction_of(**inputs: np.ndarray):
    from service.messages import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(asked(**inputs))
    return log


def y(answer: predict_pb2.PredictResponse) -> list[float]:
    return list(answer.outputs["y"].float_val)


def test_the_default_stands_for_what_is_left_out(client):
    assert y(client.predict(asked(x=X))) == [3.0, 7.5]
    assert y(client.predict(asked(x=X, scale=np.array(2.0, np.float32)))) == [2.0, 5.0]


def test_what_has_no_default_must_be_sent(client):
    said = "alias: x(feed name: "
    with refused(Code.INVALID_ARGUMENT, said, "no default value provided", "{scale}", "set: scale"):
        client.predict(asked(scale=np.array(2.0, np.float32)))


def test_over_rest_every_input_must_be_sent(service):
    answer = service.post("/v1/models/scaled:predict", {"inputs": {"x": [1.0, 2.5]}})
    assert (answer.status, answer.json()) == (
        400,
        {"error": "Missing named input: scale in 'inputs' object."},
    )


def test_metadata_shows_the_default_over_both(client, service):
    shown = service.get("/v1/models/scaled/metadata").json()
    definition = shown["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["defaults"]["scale"]["float_val"] == [3.0]

    answer = client.prediction.GetModelMetadata(metadata(name="scaled"), timeout=20)
    definitions = get_model_metadata_pb2.SignatureDefMap()
    answer.metadata["signature_def"].Unpack(definitions)
    default = definitions.signature_def["serving_default"].defaults["scale"]
    assert tensor_proto.decode(default, "scale", 2**20) == 3.0
