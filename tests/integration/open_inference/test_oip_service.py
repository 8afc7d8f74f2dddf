"""The running service over Open Inference Protocol: REST and gRPC, LiteRT and TensorFlow."""

from __future__ import annotations

import gzip
import http.client
import json
import struct
from urllib.parse import urlsplit

import grpc
import numpy as np
import pytest

from service.protocols import open_inference_pb2 as messages
from tests.servers import running_service

HOUSES = [[6.142, 91.7, 18.72], [7.1, 40.0, 5.0], [5.0, 99.0, 30.0]]
INFER = "/v2/models/housing/infer"
FEATURES = {"name": "features", "shape": [3, 3], "datatype": "FP32"}
FLAT = {**FEATURES, "data": HOUSES}


@pytest.fixture(scope="module", params=["litert", "tensorflow"])
def service(housing_models, request):
    with running_service(housing_models, executor=request.param) as server:
        yield server


@pytest.fixture(scope="module")
def litert(housing_models):
    with running_service(housing_models) as server:
        yield server


@pytest.fixture
def prices(service):
    """What TensorFlow Serving's route answers for the same rows."""
    answer = service.post("/v1/models/housing:predict", {"instances": HOUSES})
    return pytest.approx(answer.json()["predictions"], rel=1e-6)


def call(service, method, message, answer):
    with grpc.insecure_channel(service.grpc) as channel:
        asked = channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}",
            request_serializer=type(message).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return asked(message, timeout=20)


def post(service, body, path=INFER, **headers):
    """Status, headers and body of an answer to a POST."""
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("POST", path, body, named)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_json_is_answered_like_tensorflow_servings_route(service, prices):
    answer = service.post(INFER, {"inputs": [FLAT]})

    assert answer.json()["outputs"][0]["data"] == prices


def test_bytes_are_answered_like_tensorflow_servings_route(service, prices):
    raw = np.array(HOUSES, "<f4").tobytes()
    x = {**FEATURES, "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [x], "parameters": {"binary_data_output": True}}).encode()

    status, headers, body = post(
        service, head + raw, inference_header_content_length=str(len(head))
    )

    length = int(headers["Inference-Header-Content-Length"])
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    assert list(struct.unpack("<3f", body[length:])) == prices


def test_a_bare_body_is_answered_like_tensorflow_servings_route(service, prices):
    raw = np.array(HOUSES, "<f4").tobytes()

    _, headers, body = post(service, raw, inference_header_content_length="0")

    length = int(headers["Inference-Header-Content-Length"])
    assert list(struct.unpack("<3f", body[length:])) == prices


@pytest.mark.parametrize("raw", [True, False])
def test_calls_are_answered_like_tensorflow_servings_route(service, prices, raw):
    request = messages.ModelInferRequest(model_name="housing")
    x = request.inputs.add(name="features", datatype="FP32", shape=[3, 3])
    if raw:
        request.raw_input_contents.append(np.array(HOUSES, "<f4").tobytes())
    else:
        x.contents.fp32_contents.extend(np.ravel(HOUSES))

    response = call(service, "ModelInfer", request, messages.ModelInferResponse)

    if raw:
        assert list(struct.unpack("<3f", response.raw_output_contents[0])) == prices
    else:
        assert list(response.outputs[0].contents.fp32_contents) == prices


def test_a_batch_too_large_for_the_loop_is_answered_alike(litert):
    many = HOUSES * 2000
    expected = litert.post("/v1/models/housing:predict", {"instances": many}).json()
    x = {"name": "features", "shape": [6000, 3], "datatype": "FP32", "data": many}
    body = gzip.compress(json.dumps({"inputs": [x]}).encode())

    status, headers, packed = post(litert, body, content_encoding="gzip", accept_encoding="gzip")

    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    (price,) = json.loads(gzip.decompress(packed))["outputs"]
    assert price["data"] == expected["predictions"]


def test_a_request_has_its_labels_in_the_metrics(litert):
    litert.post(INFER, {"inputs": [FLAT]})
    call(litert, "ServerLive", messages.ServerLiveRequest(), messages.ServerLiveResponse)

    text = litert.get("/metrics").text

    assert 'outcome="ok",protocol="open_inference",route="infer",version="1"' in text
    assert 'protocol="open_inference_grpc",route="live"' in text


def test_a_refusal_over_grpc_has_its_code_and_message(litert):
    with pytest.raises(grpc.RpcError) as refused:
        call(
            litert,
            "ModelInfer",
            messages.ModelInferRequest(model_name="nobody"),
            messages.ModelInferResponse,
        )

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert refused.value.details() == "model nobody is not served here"


@pytest.mark.parametrize("length", ["-1", "x", "0", "3", "99999999999", "4294967296", "1e3"])
def test_lengths_that_make_no_sense_are_refused_and_the_server_lives_on(litert, length):
    body = json.dumps({"inputs": [FLAT]}).encode()

    status, _, said = post(litert, body, inference_header_content_length=length)

    assert (status, list(json.loads(said))) == (400, ["error"])
    assert litert.post(INFER, {"inputs": [FLAT]}).status == 200


def test_a_bomb_is_refused_and_the_server_lives_on(litert):
    status, _, said = post(litert, gzip.compress(bytes(2**28)), content_encoding="gzip")

    assert (status, list(json.loads(said))) == (413, ["error"])
    assert litert.post(INFER, {"inputs": [FLAT]}).status == 200


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A SavedModel of several inputs of several types, and what TensorFlow computes with it."""
    import tensorflow as tf

    class Mixed(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "word"),
                tf.TensorSpec([None, 2], tf.int64, "counts"),
                tf.TensorSpec([None], tf.bool, "wanted"),
            ]
        )
        def __call__(self, word, counts, wanted):
            total = tf.reduce_sum(counts, axis=1)
            return {
                "shouted": tf.strings.upper(word),
                "total": total,
                "half": tf.cast(total, tf.float16) / 2,
                "unwanted": tf.logical_not(wanted),
            }

    models = tmp_path_factory.mktemp("mixed")
    module = Mixed()
    tf.saved_model.save(
        module, str(models / "mixed/1"), signatures={"serving_default": module.__call__}
    )
    computed = module(
        tf.constant(["a", "bc"]),
        tf.constant([[1, 2], [3, 2**40]], tf.int64),
        tf.constant([True, False]),
    )
    return models, {name: value.numpy() for name, value in computed.items()}


def test_strings_and_several_inputs_are_what_tensorflow_computes(mixed):
    models, computed = mixed
    inputs = [
        {"name": "word", "shape": [2], "datatype": "BYTES", "data": ["a", "bc"]},
        {"name": "counts", "shape": [2, 2], "datatype": "INT64", "data": [[1, 2], [3, 2**40]]},
        {"name": "wanted", "shape": [2], "datatype": "BOOL", "data": [True, False]},
    ]
    names = ["unwanted", "total", "shouted"]
    outputs = [{"name": name} for name in names]

    with running_service(models, name="mixed") as server:
        answer = server.post("/v2/models/mixed/infer", {"inputs": inputs, "outputs": outputs})
        refused = server.post("/v2/models/mixed/infer", {"inputs": inputs})
        wanted = {"parameters": {"binary_data_output": True}, "inputs": inputs}
        body = json.dumps({**wanted, "outputs": [{"name": "half"}]}).encode()
        _, headers, raw = post(server, body, path="/v2/models/mixed/infer")
        metadata = server.get("/v2/models/mixed").json()

    told = {it["name"]: (it["datatype"], it["data"]) for it in answer.json()["outputs"]}
    assert list(told) == names
    assert told == {
        "unwanted": ("BOOL", computed["unwanted"].tolist()),
        "total": ("INT64", computed["total"].tolist()),
        "shouted": ("BYTES", [it.decode() for it in computed["shouted"]]),
    }
    assert refused.status == 400
    assert "'half' has datatype FP16, which JSON cannot carry" in refused.json()["error"]
    half = np.frombuffer(raw[int(headers["Inference-Header-Content-Length"]) :], "<f2")
    assert half.tolist() == computed["half"].tolist()
    assert {it["name"]: (it["datatype"], it["shape"]) for it in metadata["inputs"]} == {
        "word": ("BYTES", [-1]),
        "counts": ("INT64", [-1, 2]),
        "wanted": ("BOOL", [-1]),
    }
