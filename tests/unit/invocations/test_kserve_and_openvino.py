"""Clients whose protocol is nearly TensorFlow Serving's: KServe's V1 and OpenVINO's."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from service.errors import ModelNotFound
from service.messages import get_model_status_pb2
from service.protocols.tensorflow_serving import find_statuses, find_version
from service.repository.config import Latest, ModelConfig
from service.repository.repository import Repository
from tests.unit.service.fakes import Witness, version

KSERVE = {"User_Agent": "python-httpx/0.28.1"}
STATUS = {
    "version": "1",
    "state": "AVAILABLE",
    "status": {"error_code": "OK", "error_message": ""},
}


def test_kserves_client_reads_that_a_model_is_ready(api):
    answered = api.ask("GET", "/v1/models/housing", **KSERVE)

    assert answered.status == 200
    assert answered.json() == {"name": "housing", "ready": True, "model_version_status": [STATUS]}
    assert (answered.exchange.protocol, answered.exchange.route) == ("kserve_v1", "status")


def test_kserves_client_reads_503_as_not_ready(make_api):
    answered = make_api(models={"housing": None}).ask("GET", "/v1/models/housing", **KSERVE)

    assert answered.status == 503
    assert answered.json() == {"name": "housing", "ready": False, "model_version_status": []}


def test_kserves_client_is_told_of_a_model_that_is_not_known(api):
    assert api.ask("GET", "/v1/models/nobody", **KSERVE).status == 404


@pytest.mark.parametrize("path", ["/v1/models/housing", "/v1/models/housing/versions/1"])
@pytest.mark.parametrize("agent", ["curl/8.5.0", "python-requests/2.32", "Go-http-client/1.1", ""])
def test_others_get_a_status_that_a_strict_parser_takes(api, path, agent):
    answered = api.ask("GET", path, User_Agent=agent)

    message = get_model_status_pb2.GetModelStatusResponse()
    json_format.Parse(answered.text, message, ignore_unknown_fields=False)
    assert [it.version for it in message.model_version_status] == [1]
    assert dict(answered.response.headers) == {"Vary": "User-Agent"}


def test_a_version_in_the_path_is_tensorflow_servings_question(api):
    answered = api.ask("GET", "/v1/models/housing/versions/1", **KSERVE)

    assert answered.json() == {"model_version_status": [STATUS]}


def test_version_0_is_the_default_one(api):
    predicted = api.ask("POST", "/v1/models/housing/versions/0:predict", {"inputs": [[6, 90, 20]]})

    assert predicted.json() == {"outputs": [116.0]}
    assert dict(predicted.response.headers) == {"X-Model-Version": "1"}
    status = api.ask("GET", "/v1/models/housing/versions/0").json()
    assert status == {"model_version_status": [STATUS]}
    assert api.ask("GET", "/v1/models/housing/versions/0/metadata").status == 200


def test_version_0_is_itself_where_it_is_served(tmp_path):
    for number in (0, 5):
        (tmp_path / str(number)).mkdir()

    def load(model, number, path):
        return version(number, model=model, path=path)

    both = ModelConfig("housing", tmp_path, Latest(2))
    repository = Repository([both], load, Witness())
    repository.poll()

    assert find_version(repository, "housing", 0).number == 0
    assert [it.version for it in find_statuses(repository, "housing", 0)] == [0]
    assert find_version(repository, "housing", None).number == 5


@pytest.mark.parametrize("number", [2, 10**12])
def test_another_version_that_is_not_served_is_not_found(api, number):
    with pytest.raises(ModelNotFound, match=rf"Specific\(housing, {number}\)"):
        find_version(api.repository, "housing", number)
    with pytest.raises(ModelNotFound, match=f"Could not find version {number}"):
        find_statuses(api.repository, "housing", number)


def test_version_0_of_an_unknown_model_is_not_found(api):
    with pytest.raises(ModelNotFound):
        find_version(api.repository, "nobody", 0)
    with pytest.raises(ModelNotFound):
        find_statuses(api.repository, "nobody", 0)
