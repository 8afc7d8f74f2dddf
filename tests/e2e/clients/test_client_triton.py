"""Triton's own clients work unchanged: REST and gRPC, plain and asyncio."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from service import VERSION
from tests.servers import ROOT

if TYPE_CHECKING:
    from tests.e2e.clients.conftest import Ask, ClientEnvironment
    from tests.servers import Server

pytestmark = pytest.mark.timeout(600)  # the first run installs the clients

HOUSES = [[6.142, 91.7, 18.72], [7.1, 40.0, 5.0]]
HTTP, GRPC = ("http", "http aio"), ("grpc", "grpc aio")
FORMS = {"default", "version, id and output", "columns", "signature"}


@pytest.fixture(scope="module")
def prices(service: Server) -> Any:
    """The prices by TensorFlow Serving's route."""
    answer = service.post("/v1/models/housing:predict", {"instances": HOUSES})
    return pytest.approx(answer.json()["predictions"], abs=1e-5)


@pytest.fixture(scope="module")
def answers(service: Server, ask: Ask) -> Any:
    """What the clients were answered."""
    return ask("tritonclient", service.url.removeprefix("http://"), service.grpc, HOUSES)


@pytest.mark.parametrize("client", [*HTTP, *GRPC])
def test_prices_are_those_of_tensorflow_servings_route(
    answers: Any, prices: Any, client: str
) -> None:
    forms = FORMS | ({"JSON", "JSON in", "JSON out", "packed"} if client in HTTP else set())

    assert answers[client]["prices"] == dict.fromkeys(forms, prices)


def test_async_infer_gives_the_same(answers: Any, prices: Any) -> None:
    assert answers["async_infer"] == prices


@pytest.mark.parametrize("client", HTTP)
def test_large_requests_and_answers_are_packed_either_way(
    answers: Any, prices: Any, client: str
) -> None:
    for many in answers[client]["packed"]:
        assert len(many) == 4000
        assert many[:2] == prices
        assert many == many[:2] * 2000


@pytest.mark.parametrize("client", [*HTTP, *GRPC])
def test_readiness_is_told(answers: Any, client: str) -> None:
    told = answers[client]

    assert (told["live"], told["ready"]) == (True, True)
    assert told["model ready"] == [True, True, False]


@pytest.mark.parametrize("client", [*HTTP, *GRPC])
def test_server_and_model_describe_themselves(answers: Any, client: str) -> None:
    told = answers[client]

    assert (told["server"]["name"], told["server"]["version"]) == ("hearth", VERSION)
    assert "binary_tensor_data" in told["server"]["extensions"]
    (features,) = told["model"]["inputs"]
    (price,) = told["model"]["outputs"]
    assert (features["name"], features["datatype"]) == ("features", "FP32")
    assert [int(size) for size in features["shape"]] == [-1, 3]
    assert (price["name"], price["datatype"], told["model"]["versions"]) == ("price", "FP32", ["1"])


@pytest.mark.parametrize("client", [*HTTP, *GRPC])
def test_configuration_index_and_statistics_are_read(answers: Any, client: str) -> None:
    told = answers[client]
    config = told["config"].get("config", told["config"])
    index = told["index"] if client in HTTP else told["index"]["models"]
    (counts,) = told["statistics"]["model_stats"]

    assert int(config["max_batch_size"]) > 0
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert [(it["name"], it["version"], it["state"]) for it in index] == [("housing", "1", "READY")]
    assert int(counts["inference_count"]) >= len(HOUSES)
    assert int(counts["inference_stats"]["success"]["count"]) >= len(FORMS)
    assert int(counts["inference_stats"]["success"]["ns"]) > 0


@pytest.mark.parametrize("client", [*HTTP, *GRPC])
def test_refusals_have_the_codes_that_clients_expect(answers: Any, client: str) -> None:
    codes = ("404", "400", "403")
    if client in GRPC:
        names = ("NOT_FOUND", "INVALID_ARGUMENT", "PERMISSION_DENIED")
        codes = tuple(f"StatusCode.{name}" for name in names)

    told = [answers[client][case] for case in ("unknown model", "wrong shape", "load")]

    assert tuple(code for code, _ in told) == codes
    assert told[0][1] == "model nobody is not served here"
    assert "expected [n, 3]" in told[1][1]
    assert "switched off" in told[2][1]


def test_the_answer_is_in_the_binary_form_with_the_id(answers: Any) -> None:
    assert answers["response"] == {
        "model_name": "housing",
        "model_version": "1",
        "id": "42",
        "outputs": [
            {
                "name": "price",
                "shape": [2],
                "datatype": "FP32",
                "parameters": {"binary_data_size": 8},
            }
        ],
    }


def test_our_messages_have_tritons_numbers_and_types(answers: Any) -> None:
    from service.protocols import open_inference_pb2 as ours

    theirs = answers["messages"]
    pending = list(ours.DESCRIPTOR.message_types_by_name.values())
    compared = 0
    while pending:
        message = pending.pop()
        pending += message.nested_types
        for field in message.fields:
            told = theirs.get(message.full_name, {}).get(field.name)
            if told is not None:
                assert told == [field.number, field.type, field.is_repeated], field.full_name
                compared += 1
            elif message.full_name in theirs:
                assert field.full_name == "inference.ModelMetadataResponse.properties"
    assert compared > 100


def test_the_example_of_the_page_gives_the_same_price(
    service: Server, client_environment: ClientEnvironment, prices: Any
) -> None:
    page = (ROOT / "docs/open-inference.md").read_text()
    (code,) = re.findall(r"```python\n(import numpy.+?)```", page, re.DOTALL)
    script = code.replace("localhost:8500", service.grpc) + "\nprint(price)\n"

    said = subprocess.run(
        [client_environment("tritonclient"), "-c", script],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert float(said) == pytest.approx(prices.expected[0], abs=1e-3)
