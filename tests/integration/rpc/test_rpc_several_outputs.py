"""A model of several outputs and signatures, run by TensorFlow: what LiteRT's model has not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from service.messages import classification_pb2, predict_pb2, regression_pb2
from tests.integration.rpc.calling import (
    WITHIN_S,
    calling,
    classify,
    example,
    fill,
    refused,
    regress,
    tasks,
)
from tests.servers import ROOT, running_service, wait_until

Code = grpc.StatusCode

# Rounds of the loop, each 2 to 3 microseconds here: seconds, where the limits below are less.
LONG = 1_000_000


@pytest.fixture(scope="module")
def client(several):
    with calling(several.grpc) as made:
        yield made


def ask(*values: float, **spec: object) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    fill(request.model_spec, name="several", **spec)
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=len(values))
    request.inputs["x"].float_val.extend(values)
    return request


def rounds(count: int) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    fill(request.model_spec, name="several", signature_name="slow")
    request.inputs["rounds"].dtype = 9
    request.inputs["rounds"].tensor_shape.dim.add(size=1)
    request.inputs["rounds"].int64_val.append(count)
    return request


def numbers(answer) -> dict[str, list[float]]:
    return {name: list(tensor.float_val) for name, tensor in answer.outputs.items()}


def test_every_output_is_answered(client):
    assert numbers(client.predict(ask(1.0, 2.0))) == {"y": [2.5, 3.0], "z": [3.0, 6.0]}


@pytest.mark.parametrize("wanted", [["y"], ["z"], ["z", "y"]])
def test_an_output_filter_leaves_out_the_others(client, wanted):
    request = ask(1.0)
    request.output_filter.extend(wanted)

    assert set(client.predict(request).outputs) == set(wanted)


def test_an_output_that_is_not_there_is_named_beside_those_that_are(client):
    request = ask(1.0)
    request.output_filter.append("w")

    with refused(Code.INVALID_ARGUMENT, "not found in signature: w Outputs expected", "y", "z"):
        client.predict(request)


def test_classify_gives_labels_and_scores(client):
    request = classify({"x": 0.25}, {"x": 1.0}, name="several", signature_name="classify")

    answer = client.prediction.Classify(request, timeout=WITHIN_S)

    rows = [[(it.label, it.score) for it in row.classes] for row in answer.result.classifications]
    assert rows == [[("low", 0.75), ("high", 0.25)], [("low", 0.0), ("high", 1.0)]]
    assert answer.model_spec.name == "several"
    assert answer.model_spec.version.value == 1


def test_regress_and_context(client):
    request = regress({}, {"x": 4.0}, context={"x": 2.0}, name="several", signature_name="regress")

    answer = client.prediction.Regress(request, timeout=WITHIN_S)

    assert [it.value for it in answer.result.regressions] == [3.0, 4.0]


def test_one_request_may_both_classify_and_regress(client):
    request = tasks(("regress", "regress"), ("classify", "classify"), row={"x": 0.5})
    for task in request.tasks:
        task.model_spec.name = "several"

    first, second = client.prediction.MultiInference(request, timeout=WITHIN_S).results

    assert first.WhichOneof("result") == "regression_result"
    assert [it.value for it in first.regression_result.regressions] == [2.25]
    (row,) = second.classification_result.classifications
    assert [it.score for it in row.classes] == [0.5, 0.5]


def test_predict_takes_serialised_examples(client):
    request = predict_pb2.PredictRequest()
    fill(request.model_spec, name="several", signature_name="classify")
    request.inputs["examples"].dtype = 7
    request.inputs["examples"].tensor_shape.dim.add(size=1)
    request.inputs["examples"].string_val.append(example(x=0.25).SerializeToString())

    outputs = client.predict(request).outputs

    assert list(outputs["classes"].string_val) == [b"low", b"high"]
    assert list(outputs["scores"].float_val) == [0.75, 0.25]


def test_rest_classifies_alike(several):
    body = {"signature_name": "classify", "examples": [{"x": 0.25}, {"x": 1.0}]}

    answer = several.post("/v1/models/several:classify", body)

    assert answer.json() == {
        "results": [[["low", 0.75], ["high", 0.25]], [["low", 0.0], ["high", 1.0]]]
    }


def test_a_graph_that_cannot_take_an_example_says_so_as_the_callers_mistake(client, several):
    with refused(Code.INVALID_ARGUMENT, "x"):
        request = regress({"y": 1.0}, name="several", signature_name="regress")
        client.prediction.Regress(request, timeout=WITHIN_S)

    body = {"signature_name": "regress", "examples": [{"y": 1.0}]}
    assert several.post("/v1/models/several:regress", body).status == 400


def test_a_deadline_that_passes_ends_the_call_and_nothing_else(client, several):
    with refused(Code.DEADLINE_EXCEEDED):
        client.prediction.Predict(rounds(LONG), timeout=0.3)

    assert numbers(client.predict(ask(1.0)))["z"] == [3.0]
    wait_until(lambda: '"status":"DEADLINE_EXCEEDED"' in several.output(), "the call is in the log")


def test_a_rest_request_that_takes_too_long_is_504_and_the_next_is_answered(several):
    slow = {"signature_name": "slow", "inputs": {"rounds": [LONG]}}

    answer = several.post("/v1/models/several:predict", slow)

    assert answer.status == 504
    assert answer.json() == {"error": "the request took longer than 1 s"}

    # The loop goes on for a while, and two of them may leave no processor to others.
    def asked_again() -> object:
        return several.post("/v1/models/several:predict", {"instances": [1.0]}).json()

    expected = {"predictions": [{"y": 2.5, "z": 3.0}]}
    wait_until(lambda: asked_again() == expected, "the next request is answered")


def test_a_call_under_way_at_sigterm_is_answered(several):
    models = several_folder(several)
    with running_service(models, name="several", executor="tensorflow") as service:
        with calling(service.grpc) as client:
            client.predict(ask(1.0))
            slow = client.prediction.Predict.future(rounds(LONG // 4), timeout=WITHIN_S)
            client.predict(ask(1.0))  # sent later on the same connection, so the other has begun
            assert not slow.done()
            service.process.send_signal(signal.SIGTERM)
            assert list(slow.result().outputs["rounds"].int64_val) == [LONG // 4]
        assert service.process.wait(WITHIN_S) == 0


def several_folder(several) -> Path:
    (base,) = [it for it in several.process.args if it.startswith("--model_base_path=")]
    return Path(base.partition("=")[2]).parent


# As the documentation of tensorflow-serving-api's users has it.
DOCUMENTED = """
import json, sys
import grpc
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, predict_pb2, prediction_service_pb2_grpc

channel = grpc.insecure_channel(sys.argv[1])
stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

request = predict_pb2.PredictRequest()
request.model_spec.name = "several"
request.model_spec.signature_name = "serving_default"
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0, 5.0], shape=[3]))
result = stub.Predict(request, 10.0)
outputs = {name: tf.make_ndarray(tensor).tolist() for name, tensor in result.outputs.items()}

request.inputs["x"].CopyFrom(tf.make_tensor_proto(7.0, shape=[2]))
filled = tf.make_ndarray(stub.Predict(request, 10.0).outputs["z"]).tolist()

example = tf.train.Example(
    features=tf.train.Features(
        feature={"x": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5]))}
    )
)
request = classification_pb2.ClassificationRequest()
request.model_spec.name = "several"
request.model_spec.signature_name = "classify"
request.input.example_list.examples.extend([example])
classes = stub.Classify(request, 10.0).result.classifications[0].classes
print(json.dumps([outputs, filled, [[it.label, it.score] for it in classes]]))
"""


def test_the_documented_client_with_tensorflow_itself(several):
    command = [sys.executable, "-c", DOCUMENTED, several.grpc]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        {"y": [2.5, 3.0, 4.5], "z": [3.0, 6.0, 15.0]},
        [21.0, 21.0],
        [["low", 0.5], ["high", 0.5]],
    ]


def test_requests_of_every_kind_name_their_fields_as_published():
    assert classification_pb2.ClassificationRequest.DESCRIPTOR.full_name == (
        "tensorflow.serving.ClassificationRequest"
    )
    assert regression_pb2.RegressionRequest.DESCRIPTOR.full_name == (
        "tensorflow.serving.RegressionRequest"
    )
