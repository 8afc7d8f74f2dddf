"""PredictionService and ModelService over a real connection, and what the service notes of it."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from service.messages import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    prediction_service_pb2_grpc,
    saved_model_pb2,
)
from service.repository.config import All, ModelConfig, to_text
from tests.integration.rpc.calling import (
    HOUSE,
    ROW,
    WITHIN_S,
    calling,
    classify,
    example,
    metadata,
    price_of,
    refused,
    regress,
    status,
    tasks,
)
from tests.servers import running_service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.rpc.calling import Client
    from tests.servers import Server

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def service(two_models, tmp_path_factory) -> Iterator[Server]:
    """Two models, with labels, CORS, a monitoring path and every request logged."""
    folder = tmp_path_factory.mktemp("config")
    models = folder / "models"
    models.write_text(
        to_text(
            [
                ModelConfig("housing", two_models / "housing", All(), {"stable": 1, "lost": 9}),
                ModelConfig("other", two_models / "other"),
            ]
        )
    )
    monitoring = folder / "monitoring"
    monitoring.write_text('prometheus_config { enable: true path: "/monitoring/numbers" }')
    with running_service(
        two_models,
        model_config_file=models,
        monitoring_config_file=monitoring,
        rest_api_enable_cors_support=True,
        access_log="all",
        max_body_bytes=200_000,
        grpc_channel_arguments="grpc.max_metadata_size=4096,grpc.primary_user_agent=x",
    ) as server:
        yield server


@pytest.fixture(scope="module")
def client(service) -> Iterator[Client]:
    with calling(service.grpc) as made:
        yield made


@pytest.fixture(scope="module")
def golden(two_models) -> dict[str, list]:
    path = two_models / "housing" / "1" / "assets.extra" / "golden.json"
    return json.loads(path.read_text())


# --- Predict ---


def test_predict_gives_the_golden_prices(client, golden):
    answer = client.predict(price_of(*golden["instances"]))

    np.testing.assert_allclose(answer.outputs["price"].float_val, golden["predictions"], atol=1e-3)
    assert [dim.size for dim in answer.outputs["price"].tensor_shape.dim] == [
        len(golden["instances"])
    ]


def test_tensor_content_is_taken_as_typed_fields_are(client):
    request = price_of(ROW)
    del request.inputs["features"].float_val[:]
    request.inputs["features"].tensor_content = np.array(ROW, "<f4").tobytes()

    assert client.predict(request) == client.predict()


@pytest.mark.parametrize(
    ("spec", "version"),
    [({}, 2), ({"version": 1}, 1), ({"version_label": "stable"}, 1), ({"name": "other"}, 7)],
)
def test_model_version_and_label_choose(client, spec, version):
    answer = client.predict(**spec).model_spec

    assert answer.version.value == version
    assert answer.name == spec.get("name", "housing")
    assert answer.signature_name == "serving_default"


def test_named_columns_give_the_same_price(client):
    request = price_of(ROW, signature_name="named")
    del request.inputs["features"]
    for name, value in HOUSE.items():
        column = request.inputs[name]
        column.dtype = 1
        column.tensor_shape.dim.add(size=1)
        column.float_val.append(value)

    (price,) = client.predict(request).outputs["price"].float_val
    assert price == pytest.approx(client.price(), abs=1e-4)


def wrong(**changes):
    request = price_of(ROW, **changes.pop("spec", {}))
    for name, value in changes.items():
        if name == "filter":
            request.output_filter.extend(value)
        elif name == "dtype":
            request.inputs["features"].dtype = value
        else:
            request.inputs[name].CopyFrom(request.inputs["features"])
    return request


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        (
            wrong(spec={"name": "x"}),
            Code.NOT_FOUND,
            "Servable not found for request: Latest(x)",
        ),
        (
            wrong(spec={"version": 50}),
            Code.NOT_FOUND,
            "Servable not found for request: Specific(housing, 50)",
        ),
        (
            wrong(spec={"version_label": "x"}),
            Code.INVALID_ARGUMENT,
            "Unrecognized servable version label: x",
        ),
        (
            wrong(spec={"version_label": "lost"}),
            Code.NOT_FOUND,
            "Servable not found for request: Specific(housing, 9)",
        ),
        (
            wrong(spec={"signature_name": "x"}),
            Code.FAILED_PRECONDITION,
            'Serving signature key "x" not found.',
        ),
        (wrong(z=1), Code.INVALID_ARGUMENT, "Sent extra: {z}. Missing but required: {}."),
        (
            wrong(filter=["y2"]),
            Code.INVALID_ARGUMENT,
            "output tensor alias not found in signature: y2",
        ),
        (
            wrong(filter=["price", "price"]),
            Code.INVALID_ARGUMENT,
            "duplicate output tensor alias: price",
        ),
        (wrong(dtype=2), Code.INVALID_ARGUMENT, "type DT_DOUBLE, expected DT_FLOAT"),
        (
            price_of([6.0, 50.0]),
            Code.INVALID_ARGUMENT,
            "features has shape [1, 2], expected [n, 3]",
        ),
        (
            price_of([51.0, 50.0, 10.0]),
            Code.INVALID_ARGUMENT,
            "instances[0].RM is 51 rooms, outside",
        ),
    ],
)
def test_a_wrong_request_gets_tensorflow_servings_code_and_words(client, request_, code, said):
    with refused(code, said):
        client.predict(request_)


def test_a_message_that_cannot_be_read_is_the_callers_mistake(service):
    with grpc.insecure_channel(service.grpc) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with refused(Code.INVALID_ARGUMENT, "no tensorflow.serving.PredictRequest"):
            call(b"\xff\xff\xff", timeout=WITHIN_S)


def test_a_message_over_the_limit_is_refused_and_the_next_is_answered(client):
    rows = [ROW] * 20_000  # 240 kB
    with refused(Code.RESOURCE_EXHAUSTED):
        client.predict(price_of(*rows))

    assert client.price() > 0


def test_a_large_message_is_answered_in_a_thread_with_the_same_prices(client):
    answer = client.predict(price_of(*[ROW] * 10_000))

    np.testing.assert_allclose(answer.outputs["price"].float_val, client.price(), atol=1e-4)


def test_a_method_or_service_that_is_not_there_is_unimplemented(service):
    with grpc.insecure_channel(service.grpc) as channel:
        for path in ("PredictionService/Nothing", "SessionService/SessionRun"):
            call = channel.unary_unary(f"/tensorflow.serving.{path}")
            with refused(Code.UNIMPLEMENTED):
                call(b"", timeout=WITHIN_S)


# --- examples ---


def regressed(client, *rows, **rest) -> list[float]:
    answer = client.prediction.Regress(regress(*rows, **rest), timeout=WITHIN_S)
    return [it.value for it in answer.result.regressions]


def test_regress_gives_the_price_that_predict_gives(client):
    other = {**HOUSE, "RM": 8.0}

    values = regressed(client, HOUSE, other)

    expected = client.predict(price_of(ROW, list(other.values()))).outputs["price"].float_val
    assert values == pytest.approx(list(expected), abs=1e-4)


def test_regress_takes_what_the_examples_share_from_their_context(client):
    shared = {"AGE": HOUSE["AGE"], "LSTAT": HOUSE["LSTAT"], "RM": 3.0}

    values = regressed(client, {"RM": HOUSE["RM"]}, context=shared, signature_name="regress")

    assert values == pytest.approx([client.price()], abs=1e-4)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"RM": 6.0, "AGE": 50.0}, "Feature: LSTAT (data type: float) is required"),
        ({**HOUSE, "RM": 51.0}, "RM is 51 rooms, outside [0, 50]"),
    ],
)
def test_the_contract_holds_for_examples_too(client, row, said):
    with refused(Code.INVALID_ARGUMENT, said):
        client.prediction.Regress(regress(row), timeout=WITHIN_S)


def test_classify_with_a_model_that_regresses_says_what_is_missing(client):
    with refused(Code.INVALID_ARGUMENT, "classify needs one that takes tf.Example"):
        client.prediction.Classify(classify(HOUSE), timeout=WITHIN_S)
    with refused(Code.INVALID_ARGUMENT, "at least one of classes or scores"):
        client.prediction.Classify(classify(HOUSE, signature_name="regress"), timeout=WITHIN_S)


def examples_for_predict(client, shape: list[int], row: dict[str, float]):
    told = get_model_metadata_pb2.SignatureDefMap()
    answer = client.prediction.GetModelMetadata(metadata(), timeout=WITHIN_S)
    answer.metadata["signature_def"].Unpack(told)
    (name,) = told.signature_def["regress"].inputs
    request = price_of(ROW, signature_name="regress")
    del request.inputs["features"]
    request.inputs[name].dtype = 7
    for size in shape:
        request.inputs[name].tensor_shape.dim.add(size=size)
    request.inputs[name].string_val.append(example(**row).SerializeToString())
    return request


def test_predict_works_with_the_signature_that_takes_examples(client):
    request = examples_for_predict(client, [1], HOUSE)

    ((_, values),) = client.predict(request).outputs.items()

    assert list(values.float_val) == pytest.approx([client.price()], abs=1e-4)


def test_predict_with_examples_is_held_to_the_contract(client):
    with refused(Code.INVALID_ARGUMENT, "RM is 51 rooms, outside [0, 50]"):
        client.predict(examples_for_predict(client, [1], {**HOUSE, "RM": 51.0}))
    with refused(Code.INVALID_ARGUMENT, "has shape [1, 1], expected [n]"):
        client.predict(examples_for_predict(client, [1, 1], HOUSE))


def test_rest_predicts_with_examples_too(service, client):
    message = base64.b64encode(example(**HOUSE).SerializeToString()).decode()
    body = {"signature_name": "regress", "instances": [{"b64": message}]}

    (price,) = service.post("/v1/models/housing:predict", body).json()["predictions"]

    assert price == pytest.approx(client.price(), abs=1e-3)


def test_an_empty_input_is_refused(client):
    with refused(Code.INVALID_ARGUMENT, "Input is empty."):
        client.prediction.Regress(regress(), timeout=WITHIN_S)


def test_multi_inference_regresses(client):
    request = tasks(("regress", "regress"), row=HOUSE)

    (result,) = client.prediction.MultiInference(request, timeout=WITHIN_S).results

    (value,) = result.regression_result.regressions
    assert value.value == pytest.approx(client.price(), abs=1e-4)
    assert result.model_spec.version.value == 2


def test_multi_inference_refuses_other_methods(client):
    with refused(Code.UNIMPLEMENTED, "tensorflow/serving/predict"):
        request = tasks(("serving_default", "predict"), row=HOUSE)
        client.prediction.MultiInference(request, timeout=WITHIN_S)


# --- metadata, status, health, reflection ---


def test_metadata_is_what_the_saved_model_says(client, two_models):
    saved = saved_model_pb2.SavedModel.FromString(
        (two_models / "housing" / "2" / "saved_model.pb").read_bytes()
    )
    answer = client.prediction.GetModelMetadata(metadata(), timeout=WITHIN_S)

    told = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(told)
    assert dict(told.signature_def) == dict(saved.meta_graphs[0].signature_def)
    assert answer.model_spec.version.value == 2


def test_status_is_of_all_versions_or_one(client):
    answer = client.models.GetModelStatus(status(), timeout=WITHIN_S)

    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(it.version, it.state, it.status.error_code) for it in answer.model_version_status] == [
        (2, available, 0),
        (1, available, 0),
    ]
    one = client.models.GetModelStatus(status(version=1), timeout=WITHIN_S)
    assert [it.version for it in one.model_version_status] == [1]
    with refused(Code.NOT_FOUND, "Could not find version 5 of model housing"):
        client.models.GetModelStatus(status(version=5), timeout=WITHIN_S)


@pytest.mark.parametrize(
    "name", ["", "PredictionService", "ModelService", "tensorflow.serving.PredictionService"]
)
def test_health_is_told_for_the_server_and_its_services(client, name):
    wait_until(lambda: client.serving(name) == "SERVING", "the service is healthy")


def test_health_of_what_is_not_there_is_not_found(client):
    with refused(Code.NOT_FOUND):
        client.serving("x")


def test_reflection_lists_services_and_describes_them(service):
    ask = reflection_pb2.ServerReflectionRequest
    with grpc.insecure_channel(service.grpc) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [
            ask(list_services=""),
            ask(file_containing_symbol="tensorflow.serving.PredictionService"),
        ]
        listed, described = stub.ServerReflectionInfo(iter(requests), timeout=WITHIN_S)

    names = {it.name for it in listed.list_services_response.service}
    assert {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "grpc.health.v1.Health",
    } <= names
    assert described.file_descriptor_response.file_descriptor_proto


# --- what is noted of a call ---


def counted(service, **labels: str) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(service.get("/metrics").text)
        for sample in family.samples
        if sample.name == "hearth_requests_total" and labels.items() <= sample.labels.items()
    )


def test_calls_are_counted_by_what_came_of_them(service, client):
    labels = {"protocol": "tensorflow_serving_grpc", "route": "predict"}
    good, bad = {**labels, "outcome": "ok"}, {**labels, "outcome": "ModelNotFound"}
    before = counted(service, **good, model="other", version="7"), counted(service, **bad)

    client.price(name="other")
    with refused(Code.NOT_FOUND):
        client.price(name="x")

    assert counted(service, **good, model="other", version="7") == before[0] + 1
    assert counted(service, **bad) == before[1] + 1


def logged(service, request_id: str) -> dict:
    for line in service.output().splitlines():
        if line.startswith("{") and json.loads(line)["request_id"] == request_id:
            return json.loads(line)
    return {}


def test_a_call_bears_its_callers_request_id_into_answer_and_log(service, client):
    request = price_of(ROW, ROW, version=1)
    _, call = client.prediction.Predict.with_call(
        request, timeout=WITHIN_S, metadata=[("x-request-id", "asked-1")]
    )

    assert ("x-request-id", "asked-1") in list(call.trailing_metadata())
    wait_until(lambda: logged(service, "asked-1"), "the call is in the log")
    line = logged(service, "asked-1")
    assert line["path"] == "/tensorflow.serving.PredictionService/Predict"
    assert (line["method"], line["status"], line["outcome"]) == ("gRPC", "OK", "ok")
    assert (line["model"], line["version"], line["rows"]) == ("housing", "1", 2)
    assert "127.0.0.1" in line["client"]


def test_a_call_that_fails_bears_an_id_too(service, client):
    with pytest.raises(grpc.RpcError) as error:
        client.predict(name="x")

    (request_id,) = [
        value for key, value in error.value.trailing_metadata() if key == "x-request-id"
    ]
    wait_until(lambda: logged(service, request_id), "the call is in the log")
    line = logged(service, request_id)
    assert (line["status"], line["outcome"]) == ("NOT_FOUND", "ModelNotFound")
    assert line["error"] == "Servable not found for request: Latest(x)"


def test_an_id_that_is_no_plain_text_is_replaced(client):
    _, call = client.prediction.Predict.with_call(
        price_of(ROW), timeout=WITHIN_S, metadata=[("x-request-id", "a b")]
    )

    ((_, value),) = [it for it in call.trailing_metadata() if it[0] == "x-request-id"]
    assert " " not in value


# --- the same over REST ---


@pytest.mark.parametrize(
    ("path", "version"),
    [("housing", "2"), ("housing/versions/1", "1"), ("housing/labels/stable", "1"), ("other", "7")],
)
def test_rest_regresses_as_grpc_does(service, client, path, version):
    request = urllib.request.Request(
        f"{service.url}/v1/models/{path}:regress",
        json.dumps(
            {
                "context": {"AGE": HOUSE["AGE"], "RM": 3.5},
                "examples": [{"RM": HOUSE["RM"], "LSTAT": HOUSE["LSTAT"]}],
            }
        ).encode(),
    )
    with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
        (value,) = json.load(answer)["results"]
        assert answer.headers["X-Model-Version"] == version

    assert value == pytest.approx(client.price(), abs=1e-4)


# Texts of json_tensor.cc, tf.io.parse_example and the contract.
@pytest.mark.parametrize(
    ("path", "body", "status_", "said"),
    [
        ("housing:regress", {}, 400, "key 'examples' is expected and was not found"),
        ("housing:regress", {"examples": [[]]}, 400, "Example must be JSON object"),
        (
            "housing:regress",
            {"examples": [{**HOUSE, "RM": 6}]},
            400,
            "Data types don't match. Data type: int64 but expected type: float",
        ),
        ("housing:regress", {"examples": [{"RM": 6.0}]}, 400, "Feature: AGE"),
        ("housing:regress", {"examples": [{**HOUSE, "RM": 51.0}]}, 400, "RM is 51 rooms"),
        (
            "housing:regress",
            {"signature_name": "x", "examples": [HOUSE]},
            400,
            "No signature was found with the name: x",
        ),
        ("housing:classify", {"examples": [HOUSE]}, 400, "classify needs one that takes"),
        (
            "housing:classify",
            {"signature_name": "regress", "examples": [HOUSE]},
            400,
            "at least one of classes or scores",
        ),
        ("x:regress", {"examples": [HOUSE]}, 404, "Servable not found for request: Latest(x)"),
        (
            "housing/labels/x:regress",
            {"examples": [HOUSE]},
            400,
            "Unrecognized servable version label: x",
        ),
        (
            "housing/labels/lost:predict",
            {"instances": [ROW]},
            404,
            "Servable not found for request: Specific(housing, 9)",
        ),
    ],
)
def test_rest_refuses_examples_in_the_same_words(service, path, body, status_, said):
    answer = service.post(f"/v1/models/{path}", body)

    assert answer.status == status_
    assert said in answer.json()["error"]


def ask(service, method: str, path: str, **headers: str):
    request = urllib.request.Request(service.url + path, method=method, headers=headers)
    try:
        return urllib.request.urlopen(request, timeout=WITHIN_S)
    except urllib.error.HTTPError as error:
        return error


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("OPTIONS", "/v1/models/housing:predict", {"Origin": "https://here"}, 200),
        ("OPTIONS", "/v1/models/housing:predict", {}, 400),
        ("OPTIONS", "/v1/models/housing:predict", {"Origin": "file://x"}, 400),
        ("GET", "/v1/models/housing", {"Origin": "http://here"}, 200),
        ("GET", "/v1/models/x", {}, 404),
        ("PUT", "/v1/models/housing", {}, 400),
    ],
)
def test_pages_of_other_origins_may_ask_below_v1(service, method, path, headers, expected):
    with ask(service, method, path, **headers) as answer:
        assert answer.status == expected
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Methods"] == "POST, GET"
        assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type"
        if method == "OPTIONS":
            assert answer.read() == b""


def test_metrics_under_their_own_names_are_where_the_monitoring_config_says(service):
    assert ":tensorflow:serving:request_count" in service.get("/monitoring/numbers").text
    assert "hearth_requests_total" in service.get("/metrics").text
    assert service.get("/monitoring/prometheus/metrics").status == 404


def test_calls_over_one_channel_may_overlap(client):
    calls = [client.prediction.Predict.future(price_of(ROW)) for _ in range(200)]

    (price,) = {call.result(WITHIN_S).outputs["price"].float_val[0] for call in calls}
    assert price == pytest.approx(client.price(), abs=1e-4)


def test_the_stubs_are_those_of_the_published_package():
    assert prediction_service_pb2_grpc.__name__ == (
        "tensorflow_serving.apis.prediction_service_pb2_grpc"
    )
