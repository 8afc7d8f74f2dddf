"""REST and gRPC answer what TensorFlow itself computes, for models of every kind."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from service.messages import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)
from tests import models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.inference.conftest import Both

RANDOM = np.random.default_rng(11)


def numbers(*shape: int, dtype: str = "float32") -> np.ndarray:
    if dtype == "bool":
        return RANDOM.integers(0, 2, shape).astype(bool)
    if dtype.startswith(("int", "uint")):
        return RANDOM.integers(0, 100, shape).astype(dtype)
    return RANDOM.normal(3.0, 10.0, shape).astype(dtype)


def words(*values: str) -> np.ndarray:
    return np.array([it.encode() for it in values], object)


CASES = [
    ("half_plus_two_tf1", "serving_default", {"x": numbers(3, 1)}),
    ("half_plus_two_tf2", "serving_default", {"x": numbers(5, 1)}),
    ("several", "both", {"a": numbers(4, 2), "b": numbers(4, dtype="int32")}),
    ("several", "Twice/it.", {"x": numbers(3)}),
    ("several", "variables", {}),
    ("texts", "serving_default", {"text": words("house", "grün", "", "水")}),
    ("vocabulary", "serving_default", {"word": words("river", "house", "sea")}),
    ("shapes", "serving_default", {"x": numbers(2, 3)}),
    ("shapes", "serving_default", {"x": numbers()}),
    ("shapes", "serving_default", {"x": numbers(2, 1, 2, 1)}),
    ("shapes", "scalar", {"x": numbers()}),
    ("shapes", "total", {"x": numbers(3, 4)}),
    ("embedding", "serving_default", {"place": np.array([[2, 0], [1, 1]], np.int32)}),
    ("network", "serving_default", {"keras_tensor": numbers(6, 13)}),
    ("network", "serve", {"keras_tensor": numbers(1, 13)}),
    *(("types", name, {"x": numbers(3, 2, dtype=name)}) for name in models.NUMERIC_TYPES),
]
IDS = [f"{model}-{signature}-{index}" for index, (model, signature, _) in enumerate(CASES)]
OF_LITERT = [it for it in CASES if it[0] in {"network", "embedding"}]


def by_grpc(service: Both, model: str, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    tf = models.tensorflow()
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    response = service.stub.Predict(request, timeout=20)
    return {name: tf.make_ndarray(it) for name, it in response.outputs.items()}


def by_rest(service: Both, model: str, signature: str, inputs: Mapping[str, Any]) -> Any:
    def plain(value: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value

    body = {
        "signature_name": signature,
        "inputs": {
            name: plain(it.tolist()) if it.ndim == 0 else [plain(value) for value in it.tolist()]
            for name, it in inputs.items()
        },
    }
    answer = service.rest.post(f"/v1/models/{model}:predict", body)
    assert answer.status == 200, answer.text
    return answer.json()["outputs"]


def as_array(value: Any, like: np.ndarray) -> np.ndarray:
    """What stands in a REST answer as an array of the type that it had."""
    if like.dtype == object:
        flat = [
            base64.b64decode(it["b64"]) if isinstance(it, dict) else it.encode() for it in value
        ]
        return np.array(flat, object)
    return np.array(value, like.dtype).reshape(like.shape)


def assert_same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        value = np.asarray(found[name])
        assert value.shape == array.shape
        if array.dtype.kind == "f":
            assert value.dtype == array.dtype
            np.testing.assert_allclose(value, array, rtol=1e-3 if array.itemsize == 2 else 1e-5)
        else:
            assert value.tolist() == array.tolist()


@pytest.mark.parametrize(("model", "signature", "inputs"), CASES, ids=IDS)
def test_tensorflow_answers_over_grpc_and_rest(by_tensorflow, model, signature, inputs):
    tensors = {name: models.tensorflow().constant(it) for name, it in inputs.items()}
    expected = models.answers(by_tensorflow.version(model), signature, **tensors)

    assert_same(by_grpc(by_tensorflow, model, signature, inputs), expected)
    found = by_rest(by_tensorflow, model, signature, inputs)
    named = found if len(expected) > 1 else {next(iter(expected)): found}
    assert_same({name: as_array(named[name], it) for name, it in expected.items()}, expected)


@pytest.mark.parametrize(("model", "signature", "inputs"), OF_LITERT)
def test_litert_answers_over_grpc_and_rest(by_litert, model, signature, inputs):
    tensors = {name: models.tensorflow().constant(it) for name, it in inputs.items()}
    expected = models.answers(by_litert.version(model), signature, **tensors)

    assert_same(by_grpc(by_litert, model, signature, inputs), expected)
    (name,) = expected
    found = by_rest(by_litert, model, signature, inputs)
    assert_same({name: as_array(found, expected[name])}, expected)


def test_a_bare_litert_file_answers_what_its_saved_model_does(by_litert):
    rows = numbers(4, 13)
    expected = models.answers(by_litert.version("network"), "serving_default", keras_tensor=rows)

    assert_same(by_grpc(by_litert, "bare", "serving_default", {"keras_tensor": rows}), expected)


def test_a_litert_file_without_signatures_answers_by_the_names_of_its_tensors(by_litert):
    answer = by_litert.rest.post("/v1/models/unsigned:predict", {"instances": [[1, 2], [3, 4]]})

    assert answer.json() == {"predictions": [21.0, 43.0]}
    metadata = by_litert.rest.get("/v1/models/unsigned/metadata").json()
    (signature,) = metadata["metadata"]["signature_def"]["signature_def"].values()
    assert list(signature["inputs"]) == ["rows"]


@pytest.mark.parametrize("model", ["half_plus_two_tf1", "half_plus_two_tf2"])
def test_half_plus_two_answers_regress_and_classify(by_tensorflow, model):
    rest = by_tensorflow.rest
    body = {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 5.0}]}
    assert rest.post(f"/v1/models/{model}:regress", body).json() == {"results": [2.5, 4.5]}
    label = "half" if model.endswith("tf2") else ""
    body["signature_name"] = "classify_x_to_y"
    assert rest.post(f"/v1/models/{model}:classify", body).json() == {
        "results": [[[label, 2.5]], [[label, 4.5]]]
    }

    regress = regression_pb2.RegressionRequest()
    classify = classification_pb2.ClassificationRequest()
    for request, name in ((regress, "regress_x_to_y"), (classify, "classify_x_to_y")):
        request.model_spec.name, request.model_spec.signature_name = model, name
        request.input.example_list.examples.append(models.example(x=4.0))
    assert by_tensorflow.stub.Regress(regress).result.regressions[0].value == 4.0
    (entry,) = by_tensorflow.stub.Classify(classify).result.classifications
    assert (entry.classes[0].label, entry.classes[0].score) == (label, 4.0)


def test_one_request_runs_several_signatures_on_the_same_examples(by_tensorflow):
    request = inference_pb2.MultiInferenceRequest()
    request.input.example_list.examples.append(models.example(x=2.0, x2=10.0))
    for name in ("regress_x_to_y", "regress_x2_to_y3"):
        task = request.tasks.add(method_name="tensorflow/serving/regress")
        task.model_spec.name, task.model_spec.signature_name = "half_plus_two_tf1", name

    results = by_tensorflow.stub.MultiInference(request).results

    assert [it.regression_result.regressions[0].value for it in results] == [3.0, 8.0]


def test_a_signature_of_examples_can_be_predicted_with_serialised_ones(by_tensorflow):
    serialised = models.example(x=6.0).SerializeToString()
    inputs = {"inputs": np.array([serialised], object)}

    found = by_grpc(by_tensorflow, "half_plus_two_tf1", "regress_x_to_y", inputs)
    assert found["outputs"].tolist() == [[5.0]]
    body = {
        "signature_name": "regress_x_to_y",
        "instances": [{"b64": base64.b64encode(serialised).decode()}],
    }
    answer = by_tensorflow.rest.post("/v1/models/half_plus_two_tf1:predict", body)
    assert answer.json() == {"predictions": [[5.0]]}


@pytest.mark.parametrize("model", ["plain_half_plus_two", "half_plus_two_tf1"])
def test_a_shape_that_the_graph_takes_is_taken_whatever_is_declared(by_tensorflow, model):
    answer = by_tensorflow.rest.post(f"/v1/models/{model}:predict", {"instances": [1.0, 2.0, 5.0]})

    assert answer.json() == {"predictions": [2.5, 3.0, 4.5]}


def test_a_state_is_kept_from_request_to_request_and_is_one_for_both_transports(by_tensorflow):
    def by_json(step: float) -> float:
        answer = by_tensorflow.rest.post("/v1/models/counter:predict", {"inputs": [step]})
        return answer.json()["outputs"][0]

    before = by_json(0.0)
    assert by_json(2.0) == before + 2
    inputs = {"step": np.array([3.0], np.float32)}
    assert by_grpc(by_tensorflow, "counter", "serving_default", inputs)["count"] == before + 5
    assert by_json(0.0) == before + 5


@pytest.mark.parametrize("service", ["by_tensorflow", "by_litert"])
def test_no_rows_give_no_rows(service, request):
    both = request.getfixturevalue(service)
    inputs = {"keras_tensor": np.zeros((0, 13), np.float32)}

    found = by_grpc(both, "network", "serving_default", inputs)

    assert found["output_0"].shape == (0, 1)


def refusal(both: Both, model: str, signature: str, inputs: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        by_grpc(both, model, signature, inputs)
    return refused.value.code(), refused.value.details()


def test_tensorflows_refusal_reaches_the_caller_in_its_own_words(by_tensorflow):
    body = {"instances": [[0, 7]]}
    answer = by_tensorflow.rest.post("/v1/models/embedding:predict", body)
    assert (answer.status, answer.json()) == (400, {"error": "indices[0,1] = 7 is not in [0, 3)"})

    code, details = refusal(
        by_tensorflow, "several", "both",
        {"a": numbers(2, 3), "b": numbers(2, dtype="int32")},
    )  # fmt: skip
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "Matrix size-incompatible: In[0]: [2,3], In[1]: [2,2]"


@pytest.mark.parametrize("name", ["bfloat16", "complex64"])
def test_a_type_that_no_wire_here_has_is_refused_by_name(by_tensorflow, name):
    body = {"signature_name": name, "instances": [[1, 2]]}
    answer = by_tensorflow.rest.post("/v1/models/types:predict", body)

    assert answer.status in {400, 501}
    assert name in answer.json()["error"].lower()


def test_a_model_without_default_signature_says_so(by_tensorflow):
    answer = by_tensorflow.rest.post("/v1/models/several:predict", {"instances": [1]})

    assert answer.status == 400
    assert '"serving_default" not found in signature def' in answer.json()["error"]
