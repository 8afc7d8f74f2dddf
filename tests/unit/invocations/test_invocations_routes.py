"""The routes of MLflow, SageMaker and Vertex AI: health, answers, errors, which model answers."""

from __future__ import annotations

import csv
import io
import json
import tomllib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import VERSION, errors
from service.protocols import invocations
from tests.servers import ROOT
from tests.unit.service.fakes import Adder, Broken
from tests.unit.service.test_service_errors import ALL

HOUSE = {"instances": [[6, 90, 20]]}
VERTEX = {"vertex_health_route": "/alive", "vertex_predict_route": "/v1/endpoints/7:predict"}


@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_ping_says_whether_a_model_is_served(make_api, path):
    answered = make_api().ask("GET", path)
    assert (answered.status, answered.text) == (200, "\n")


@pytest.mark.parametrize("models", [{}, {"housing": None}])
def test_ping_is_404_while_no_model_is_served(make_api, models):
    api = make_api(models=models, **VERTEX)

    answered = api.ask("GET", "/ping")

    assert (answered.status, answered.text) == (404, "\n")
    assert answered.exchange.outcome == "ModelNotFound"
    assert api.ask("GET", "/alive").status == 503


def test_ping_is_404_once_the_service_goes_down(api):
    api.health.draining = True

    assert api.ask("GET", "/ping").status == 404
    assert api.invoke(HOUSE).status == 200


@pytest.mark.parametrize(
    ("default_model", "ping", "alive"), [("a", 200, 200), ("b", 404, 503), ("", 200, 200)]
)
def test_ping_asks_after_the_default_model_if_there_is_one(make_api, default_model, ping, alive):
    api = make_api(models={"a": Adder(), "b": None}, default_model=default_model, **VERTEX)

    assert api.ask("GET", "/ping").status == ping
    assert api.ask("GET", "/alive").status == alive


def test_version_is_the_projects(api):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert api.ask("GET", "/version").text == VERSION == project["version"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/invocations", "POST"), ("POST", "/ping", "GET"), ("HEAD", "/invocations", "POST")],
)
def test_another_method_is_told_which_one_it_is(api, method, path, allowed):
    answered = api.ask(method, path)

    assert answered.status == 405
    assert dict(answered.response.headers)["Allow"] == allowed
    assert answered.json()["error_code"] == "ENDPOINT_NOT_FOUND"


def test_ping_may_be_asked_for_its_head(api):
    assert api.ask("HEAD", "/ping").status == 200


def test_unknown_headers_change_nothing(api):
    headers = {"X_Amzn_SageMaker_Custom_Attributes": "a=b", "X_Amzn_SageMaker_Target_Model": "x"}

    assert api.invoke(HOUSE, **headers).json() == {"predictions": [116.0]}


def test_the_version_that_answers_is_in_a_header(api):
    assert dict(api.invoke(HOUSE).response.headers) == {"X-Model-Version": "1"}


def test_of_several_models_the_default_one_answers(make_api):
    class Doubler(Adder):
        def run(self, signature, inputs):
            return {name: 2 * it for name, it in super().run(signature, inputs).items()}

    api = make_api(models={"a": Adder(), "b": Doubler()}, default_model="b", described=False)

    assert api.invoke(HOUSE).json() == {"predictions": [232.0]}


def test_of_several_models_without_a_default_none_answers(make_api):
    answered = make_api(models={"a": Adder(), "b": Adder()}).invoke(HOUSE)

    assert answered.status == 400
    assert answered.json() == {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": "several models are served (a, b) and the request names none: start the "
        "service with --default_model=NAME, or ask /v1/models/NAME:predict",
    }


@pytest.mark.parametrize("models", [{}, {"housing": None}])
def test_without_a_model_an_invocation_is_404_in_mlflows_form(make_api, models):
    answered = make_api(models=models).invoke(HOUSE)

    assert (answered.status, answered.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_our_own_faults_are_told_without_their_trace(make_api):
    answered = make_api(models={"housing": Broken()}).invoke(HOUSE)

    assert answered.status == 500
    assert answered.json() == {
        "error_code": "INTERNAL_ERROR",
        "message": "internal error, request id r-1",
    }


@pytest.mark.parametrize(
    ("accept", "body", "content_type"),
    [
        ("application/json", '{"predictions":[116.0,52.0]}', "application/json"),
        ("*/*", '{"predictions":[116.0,52.0]}', "application/json"),
        ("text/html", '{"predictions":[116.0,52.0]}', "application/json"),
        ("text/csv", "116.0\n52.0\n", "text/csv"),
        ("application/json;q=0.5, text/csv", "116.0\n52.0\n", "text/csv"),
        ("application/jsonlines", "116.0\n52.0\n", "application/jsonlines"),
    ],
)
def test_an_answer_has_the_type_that_is_accepted(api, accept, body, content_type):
    answered = api.invoke({"instances": [[6, 90, 20], [7, 40, 5]]}, Accept=accept)

    assert (answered.status, answered.text) == (200, body)
    assert answered.response.content_type == content_type


OUTPUTS = {
    "low": np.array([1.5, 2.0], np.float32),
    "high": np.array([[3.0, np.nan], [4.0, 5.0]], np.float32),
}


def test_several_outputs_are_records_in_json_and_cells_in_csv():
    as_csv = invocations.encode(OUTPUTS, invocations.CSV).decode()
    as_lines = invocations.encode(OUTPUTS, invocations.JSON_LINES).decode()

    assert list(csv.reader(io.StringIO(as_csv))) == [["1.5", "3.0", "nan"], ["2.0", "4.0", "5.0"]]
    assert as_lines == '{"low":1.5,"high":[3.0,NaN]}\n{"low":2.0,"high":[4.0,5.0]}\n'
    assert json.loads(invocations.encode({"low": OUTPUTS["low"]}, invocations.JSON)) == {
        "predictions": [1.5, 2.0]
    }


def test_text_is_quoted_in_csv():
    words = np.array([b'say "hi", twice', b"a\nb"], object)

    lines = csv.reader(io.StringIO(invocations.encode({"w": words}, invocations.CSV).decode()))

    assert list(lines) == [['say "hi", twice'], ["a\nb"]]


# mlflow/protos/databricks.proto names the codes; ERROR_CODE_TO_HTTP_STATUS in
# mlflow/exceptions.py their statuses, RFC 9110 the other three.
EXPECTED = {
    errors.InvalidRequest: (400, "INVALID_PARAMETER_VALUE"),
    errors.PayloadTooLarge: (413, "BAD_REQUEST"),
    errors.RequestTimeout: (408, "BAD_REQUEST"),
    errors.SignatureNotFound: (400, "INVALID_PARAMETER_VALUE"),
    errors.NotSupported: (501, "NOT_IMPLEMENTED"),
    errors.NotPossibleNow: (400, "INVALID_PARAMETER_VALUE"),
    errors.Unauthenticated: (401, "UNAUTHENTICATED"),
    errors.Forbidden: (403, "PERMISSION_DENIED"),
    errors.NotFound: (404, "RESOURCE_DOES_NOT_EXIST"),
    errors.RouteNotFound: (405, "ENDPOINT_NOT_FOUND"),
    errors.ModelNotFound: (404, "RESOURCE_DOES_NOT_EXIST"),
    errors.NotReady: (503, "TEMPORARILY_UNAVAILABLE"),
    errors.Overloaded: (429, "REQUEST_LIMIT_EXCEEDED"),
    errors.RateLimited: (429, "REQUEST_LIMIT_EXCEEDED"),
    errors.DeadlineExceeded: (504, "DEADLINE_EXCEEDED"),
    errors.InternalError: (500, "INTERNAL_ERROR"),
    errors.VersionRefused: (503, "TEMPORARILY_UNAVAILABLE"),
}


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_mlflows_form(kind):
    status, body = invocations.encode_error(kind("why"))

    assert (status, json.loads(body)["error_code"]) == EXPECTED[kind]
    assert "why" in json.loads(body)["message"]


def test_vertex_routes_are_where_they_are_asked_for(make_api):
    api = make_api(**VERTEX)

    assert api.ask("GET", "/alive").json() == {"ready": True}
    by_name = {"instances": [{"RM": 6, "AGE": 90, "LSTAT": 20}], "parameters": None}
    answered = api.ask("POST", "/v1/endpoints/7:predict", by_name)
    assert (answered.status, answered.json()) == (200, {"predictions": [116.0]})
    assert (answered.exchange.protocol, answered.exchange.route) == ("vertex", "predict")
    assert dict(answered.response.headers) == {"X-Model-Version": "1"}


def test_vertex_chooses_a_signature_by_its_parameters(make_api):
    body = {
        "instances": [{"RM": 6, "AGE": 90, "LSTAT": 20}],
        "parameters": {"signature_name": "named"},
    }

    assert make_api(**VERTEX).ask("POST", VERTEX["vertex_predict_route"], body).json() == {
        "predictions": [116.0]
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Missing 'instances' key"),
        ([1], "the body is [1], not an object"),
        ({**HOUSE, "signature_name": "named"}, 'unknown key "signature_name"; known: instances'),
        ({**HOUSE, "parameters": {"interval": 0.9}}, 'unknown parameter "interval"; known: signa'),
        ({**HOUSE, "parameters": {"signature_name": 3}}, "parameters.signature_name is 3, not a s"),
        (
            {**HOUSE, "parameters": {"signature_name": {}}},
            "parameters.signature_name is {}, not a s",
        ),
        ({**HOUSE, "parameters": [1]}, "parameters is [1], not an object"),
        ({"instances": [[51, 90, 20]]}, "instances[0].RM is 51 rooms, outside [0, 50]"),
    ],
)
def test_a_wrong_request_of_vertex_is_refused_in_tensorflow_servings_form(make_api, body, message):
    answered = make_api(**VERTEX).ask("POST", VERTEX["vertex_predict_route"], body)

    assert answered.status == 400
    assert answered.json()["error"].startswith(message)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/alive"), ("GET", "/v1/endpoints/7:predict")]
)
def test_a_route_of_vertex_has_one_method(make_api, method, path):
    assert make_api(**VERTEX).ask(method, path).status == 404


def test_vertex_is_told_when_requests_should_not_be_sent(make_api):
    api = make_api(**VERTEX)
    api.health.draining = True

    answered = api.ask("GET", "/alive")

    assert (answered.status, answered.json()) == (503, {"error": "shutting down"})


def test_routes_that_are_tensorflow_servings_already_stay_its_own(make_api):
    routes = {
        "vertex_health_route": "/v1/models/housing",
        "vertex_predict_route": "/v1/models/housing:predict",
    }
    api = make_api(**routes)

    assert "model_version_status" in api.ask("GET", "/v1/models/housing").json()
    answered = api.ask("POST", "/v1/models/housing:predict", {**HOUSE, "parameters": {}})
    assert (answered.json(), answered.exchange.protocol) == (
        {"predictions": [116.0]},
        "tensorflow_serving",
    )


def test_one_route_may_serve_both_purposes_of_vertex(make_api):
    api = make_api(vertex_health_route="/x", vertex_predict_route="/x")

    assert api.ask("GET", "/x").status == 200
    assert api.ask("POST", "/x", HOUSE).json() == {"predictions": [116.0]}


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.sampled_from(
    ["instances", "inputs", "dataframe_split", "dataframe_records", "columns", "data", "index",
     "params", "parameters", "signature_name", "RM", "AGE", "LSTAT", "features", "b64", "named"]
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda it: st.lists(it, max_size=4) | st.dictionaries(KEYS, it, max_size=4),
    max_leaves=20,
)
BODIES = st.binary(max_size=200) | JSON.map(lambda it: json.dumps(it).encode())
TABLES = st.lists(st.lists(st.text(max_size=4), max_size=4).map(",".join), max_size=4)
TYPES = st.sampled_from(["application/json", "text/csv", "application/jsonlines"]) | st.text()


@given(BODIES | TABLES.map(lambda it: "\n".join(it).encode(errors="replace")), TYPES, st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_no_body_however_mangled_is_our_fault(fuzzed, body, content_type, accept):
    answered = fuzzed.invoke(body, Content_Type=content_type, Accept=accept)
    assert answered.status in {200, 400, 415}, answered.text

    answered = fuzzed.ask("POST", VERTEX["vertex_predict_route"], body)
    assert answered.status in {200, 400}, answered.text


@given(st.dictionaries(KEYS, JSON, min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_no_document_however_near_the_mark_is_our_fault(fuzzed, document):
    assert fuzzed.invoke(document).status in {200, 400}
    assert fuzzed.ask("POST", VERTEX["vertex_predict_route"], document).status in {200, 400}


@pytest.fixture
def fuzzed(make_api):
    return make_api(**VERTEX)


@pytest.mark.parametrize("depth", [500, 2000])
def test_a_body_nested_deeply_is_refused(api, depth):
    body = b'{"instances":' + b"[" * depth + b"1" + b"]" * depth + b"}"

    answered = api.invoke(body, Content_Type="application/json")

    assert (answered.status, answered.json()["error_code"]) in {
        (400, "BAD_REQUEST"),
        (400, "INVALID_PARAMETER_VALUE"),
    }
