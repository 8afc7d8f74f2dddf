"""A model whose name holds what a path may not: asked in every protocol."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import grpc
import pytest

from service.protocols import open_inference_pb2
from tests.integration.rpc.calling import ROW, calling, price_of, status
from tests.integration.service.wire import HOUSE, PREDICT, ask, head
from tests.servers import running_service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

NAME = "team/housing:eu v1"
ENCODED = "team%2Fhousing%3Aeu%20v1"


@pytest.fixture(scope="module")
def service(housing_models, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("named") / "anywhere"
    shutil.copytree(housing_models / "housing", folder)
    with running_service(
        folder.parent, model_name=NAME, model_base_path=folder, workers=2
    ) as server:
        yield server


@pytest.fixture(scope="module")
def price(service) -> float:
    (price,) = service.post(f"/v1/models/{ENCODED}:predict", HOUSE).json()["predictions"]
    return price


@pytest.mark.parametrize("place", ["", "/versions/1"])
def test_tensorflow_servings_rest_finds_it(service, price, place):
    answer = service.post(f"/v1/models/{ENCODED}{place}:predict", HOUSE)

    assert (answer.status, answer.json()) == (200, {"predictions": [price]})
    assert price > 0


@pytest.mark.parametrize(
    "document", ["", "/metadata", "/contract", "/versions/1", "/versions/1/metadata"]
)
def test_its_documents_are_found(service, document):
    answer = service.get(f"/v1/models/{ENCODED}{document}")

    assert answer.status == 200
    if document.endswith("metadata"):
        assert answer.json()["model_spec"]["name"] == NAME


def test_a_slash_that_is_not_encoded_ends_the_name(service):
    plain = NAME.replace(" ", "%20")

    assert service.post(f"/v1/models/{plain}:predict", HOUSE).json() == {
        "error": f"Malformed request: POST /v1/models/{plain}:predict"
    }
    assert service.get("/v1/models/team").json() == {
        "error": "Could not find any versions of model team"
    }


def test_kserves_client_is_told_that_it_is_ready(service):
    request = head(
        "GET", f"/v1/models/{ENCODED}", "User-Agent: python-httpx/0.28", "Connection: close"
    )
    answer = ask(service.url, request)

    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (told["name"], told["ready"]) == (NAME, True)


def test_open_inference_finds_it_over_both(service, price):
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 3], "data": ROW}
    answer = service.post(f"/v2/models/{ENCODED}/versions/1/infer", {"inputs": [tensor]}).json()
    assert (answer["model_name"], answer["outputs"][0]["data"]) == (NAME, [pytest.approx(price)])
    assert service.get(f"/v2/models/{ENCODED}/ready").json() == {"name": NAME, "ready": True}
    assert service.get(f"/v2/models/{ENCODED}").json()["name"] == NAME

    with grpc.insecure_channel(service.grpc) as channel:
        asked = channel.unary_unary("/inference.GRPCInferenceService/ModelReady")
        request = open_inference_pb2.ModelReadyRequest(name=NAME)
        told = asked(request.SerializeToString(), timeout=20)
    assert open_inference_pb2.ModelReadyResponse.FromString(told).ready


def test_invocations_and_grpc_find_it(service, price):
    answer = service.post("/invocations", {"dataframe_records": HOUSE["instances"]})
    assert answer.json() == {"predictions": [price]}

    with calling(service.grpc) as client:
        predicted = client.predict(price_of(ROW, name=NAME))
        assert predicted.model_spec.name == NAME
        assert list(predicted.outputs["price"].float_val) == [pytest.approx(price)]
        (told,) = client.models.GetModelStatus(status(name=NAME)).model_version_status
        assert told.version == 1


def test_page_and_index_lead_to_it(service):
    told = ask(service.url, head("GET", "/", "Accept: */*", "Connection: close"))
    index = json.loads(told.partition(b"\r\n\r\n")[2])
    (model,) = index["models"]
    assert model["name"] == NAME
    assert service.post(model["predict"], HOUSE).status == 200
    for path in model["documents"].values():
        assert service.get(path).status == 200, path
    assert b"<html" in service.get(model["documents"]["report"]).body

    page = ask(service.url, head("GET", "/", "Accept: text/html", "Connection: close")).decode()
    assert f'data-model="{NAME}"' in page
    assert f'href="/v1/models/{ENCODED}/metadata"' in page
    assert f'href="/report/{ENCODED}/1/index.html"' in page


def test_metrics_and_welcome_name_it(service, price):
    assert f'model="{NAME}"' in service.get("/metrics").text
    wait_until(lambda: "curl" in service.output(), "the welcome")
    (line,) = [it for it in service.output().splitlines() if "curl -d" in it]
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=20, check=False)
    assert json.loads(done.stdout)["predictions"][0] > 0


def test_the_plain_name_is_nobodys(service):
    assert service.post(PREDICT, HOUSE).status == 404
