"""The OpenAPI document names routes that are there, and describes each model by its contract."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.errors import InvalidRequest
from service.monitoring.feedback import parse_feedback
from service.security.scopes import Routes
from service.web.openapi import Offered, document, tensorflow_serving
from service.web.openapi.served import Served
from tests.unit.rpc.parsers import parser_version
from tests.unit.service.fakes import Adder, contract, version
from tests.unit.service.test_service_http import Worker


@pytest.fixture
def worker(tmp_path):
    return Worker(tmp_path, {"housing": Adder(), "flat": Adder()})


@pytest.fixture
def described(worker):
    return worker.through_front("GET", "/openapi.json").json()


def errors_of(described) -> list[str]:
    return [error.message for error in OpenAPIV31SpecValidator(described).iter_errors()]


def test_the_document_is_openapi_3_1(described):
    assert described["openapi"].startswith("3.1")
    assert errors_of(described) == []


def test_without_any_model_it_is_one_too(tmp_path):
    described = Worker(tmp_path, {}).through_front("GET", "/openapi.json").json()

    assert errors_of(described) == []
    assert "/readyz" in described["paths"]


def test_every_operation_has_a_name_of_its_own(described):
    names = [it["operationId"] for path in described["paths"].values() for it in path.values()]

    assert len(names) == len(set(names))


def test_every_tag_is_announced(described):
    used = {it["tags"][0] for path in described["paths"].values() for it in path.values()}

    assert used <= {tag["name"] for tag in described["tags"]}


@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_examples_are_described_where_a_signature_takes_them(verb, described):
    made = tensorflow_serving.paths(Served(parser_version(), (1,), ()), drift=False)
    body = made[f"/v1/models/housing:{verb}"]["post"]["requestBody"]["content"]["application/json"]
    form = Draft202012Validator(body["schema"])

    assert form.is_valid({"examples": [{"x": 1.5}], "signature_name": verb})
    assert not form.is_valid({"examples": []})
    assert not form.is_valid({"examples": [{}], "signature_name": "predict"})
    assert f"/v1/models/flat:{verb}" not in described["paths"]


def test_a_category_is_a_text_and_a_missing_value_null():
    area = contract().features[0]
    heat = msgspec.structs.replace(
        area, name="heat", kind="category", categories=("gas", "oil"), missing="its own", unit=""
    )
    served = Served(replace(version(), contract=contract(features=(area, heat))), (1,), ())

    form = served.by_name["properties"]["heat"]
    assert served.by_name["required"] == ["RM"]
    assert (form["type"], form["examples"]) == (["string", "null"], ["gas", "oil"])
    assert form["default"] == served.example["heat"] == "gas"
    assert form["description"] == "what RM means"


def test_a_row_has_the_limits_of_the_contract(described):
    predict = described["paths"]["/v1/models/housing:predict"]["post"]
    form = predict["requestBody"]["content"]["application/json"]["schema"]
    by_order, by_name = form["properties"]["instances"]["oneOf"]

    assert by_name["items"]["required"] == ["RM", "AGE", "LSTAT"]
    assert by_name["items"]["properties"]["RM"] == {
        "type": "number",
        "minimum": 0.0,
        "maximum": 50.0,
        "description": "what RM means, rooms",
        "default": 5.0,
    }
    assert [it["maximum"] for it in by_order["items"]["prefixItems"]] == [50.0, 100.0, 100.0]


def test_the_example_of_a_row_is_typical_and_can_be_sent(worker, described):
    for path in ("/v1/models/housing:predict", "/v1/models/flat:predict"):
        predict = described["paths"][path]["post"]
        example = predict["requestBody"]["content"]["application/json"]["example"]
        body = json.dumps(example).encode()
        assert worker.through_front("POST", path, body).status == 200, example


def test_a_batch_is_taken_whole_instead_of_instances(worker, described):
    predict = described["paths"]["/v1/models/housing:predict"]["post"]
    form = Draft202012Validator(predict["requestBody"]["content"]["application/json"]["schema"])
    told = Draft202012Validator(
        predict["responses"]["200"]["content"]["application/json"]["schema"]
    )
    rows = [[6, 50, 10], [5, 40, 20]]

    for body in ({"inputs": rows}, {"instances": rows}):
        assert form.is_valid(body)
        answer = worker.through_front(
            "POST", "/v1/models/housing:predict", json.dumps(body).encode()
        )
        assert answer.status == 200
        assert told.is_valid(answer.json())
    assert not form.is_valid({"inputs": rows, "instances": rows})
    assert not form.is_valid({"inputs": [[6, 50]]})


def test_a_model_without_contract_is_described_by_its_signature(described):
    predict = described["paths"]["/v1/models/flat:predict"]["post"]
    form = predict["requestBody"]["content"]["application/json"]["schema"]
    number = {"type": "number"}

    assert form["properties"]["instances"]["items"] == {
        "type": "array",
        "items": number,
        "minItems": 3,
        "maxItems": 3,
    }
    assert "/v1/models/flat/contract" not in described["paths"]


def test_a_request_without_a_model_is_described_only_where_one_answers_it(worker, described):
    assert "/invocations" not in described["paths"]  # two models are served

    offered = Offered(default_model="housing")
    assert "/invocations" in document(worker.repository, offered)["paths"]


def test_routes_of_settings_are_there_when_they_are_set(worker):
    offered = Offered(
        metrics_paths=("/metrics", "/further"),
        vertex_health_route="/health/ai",
        vertex_predict_route="/predict/ai",
        default_model="flat",
        model_control=True,
    )
    described = document(worker.repository, offered)

    assert errors_of(described) == []
    paths = ("/further", "/health/ai", "/predict/ai", "/v2/repository/models/{model}/load")
    assert set(paths) <= set(described["paths"])


def test_where_keys_are_shown_it_says_which_routes_need_one(worker, described):
    assert "securitySchemes" not in described["components"]
    made = document(worker.repository, Offered(needed=Routes().needed))

    assert errors_of(made) == []
    assert set(made["components"]["securitySchemes"]) == {"bearer", "key"}
    closed = [{"bearer": []}, {"key": []}]
    assert made["paths"]["/v1/models/housing:predict"]["post"]["security"] == closed
    assert made["paths"]["/metrics"]["get"]["security"] == closed
    assert made["paths"]["/livez"]["get"]["security"] == []


def test_true_values_are_described_where_they_are_taken(worker, described):
    path = "/v1/models/housing:feedback"
    assert path not in described["paths"]
    made = document(worker.repository, Offered(feedback=True))

    assert errors_of(made) == []
    body = made["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    assert parse_feedback(body["example"])
    form = Draft202012Validator(body["schema"])
    truth = {"request_id": "a", "row": 2, "price": 1}
    for good in (body["example"], {"feedback": []}, {"feedback": [truth]}):
        assert form.is_valid(good)
        parse_feedback(good)
    for wrong in ({}, {"price": 1}, {"feedback": [{}]}, {**truth, "row": -1}, {"feedback": 1}):
        assert not form.is_valid(wrong)
        with pytest.raises(InvalidRequest):
            parse_feedback(wrong)
