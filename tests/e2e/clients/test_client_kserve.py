"""KServe's own clients work unchanged: V2 over REST and gRPC, and V1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from service.repository.config import ModelConfig, to_text
from tests.servers import running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.clients.conftest import Ask
    from tests.servers import Server

pytestmark = pytest.mark.timeout(600)  # the first run installs the clients

HOUSES = [[6.142, 91.7, 18.72], [7.1, 40.0, 5.0]]


@pytest.fixture(scope="module")
def service(housing_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the housing model, and with one that has no version."""
    folder = tmp_path_factory.mktemp("kserve")
    (folder / "empty").mkdir()
    (folder / "models.config").write_text(
        to_text(
            [
                ModelConfig("housing", housing_models / "housing"),
                ModelConfig("empty", folder / "empty"),
            ]
        )
    )
    with running_service(folder, model_config_file=folder / "models.config") as server:
        yield server


@pytest.fixture(scope="module")
def answers(service: Server, ask: Ask) -> Any:
    """What the clients were answered."""
    return ask("kserve", service.url, service.grpc, HOUSES)


@pytest.mark.parametrize("wire", ["REST", "gRPC"])
def test_prices_are_those_of_tensorflow_servings_route(
    answers: Any, service: Server, wire: str
) -> None:
    answer = service.post("/v1/models/housing:predict", {"instances": HOUSES})
    prices = pytest.approx(answer.json()["predictions"], abs=1e-5)

    for form in ("typed", "raw", "columns", "raw columns"):
        assert answers[wire]["prices"][form] == ["42", "housing", prices], form


@pytest.mark.parametrize("wire", ["REST", "gRPC"])
def test_readiness_is_told(answers: Any, wire: str) -> None:
    told = answers[wire]

    assert [told["live"], told["ready"], told["model ready"]] == [True, True, True]


def test_v1_predicts_as_tensorflow_servings_route_does(answers: Any, service: Server) -> None:
    answer = service.post("/v1/models/housing:predict", {"instances": HOUSES})

    assert answers["V1"]["prices"] == answer.json()


def test_v1_explains_what_it_predicts(answers: Any) -> None:
    told = answers["V1"]["explanations"]

    assert told["predictions"] == answers["V1"]["prices"]["predictions"]
    for explanation, price in zip(told["explanations"], told["predictions"], strict=True):
        added = sum(explanation["contributions"].values())
        assert explanation["base"] + added == pytest.approx(price, abs=1e-5)


def test_readiness_is_told_in_v1(answers: Any) -> None:
    told = answers["V1"]

    assert (told["live"], told["model ready"]) == (True, True)


@pytest.mark.parametrize("wire", ["REST", "V1"])
def test_a_model_without_a_version_is_not_ready(answers: Any, wire: str) -> None:
    assert answers[wire]["empty model ready"] is False


def test_a_refusal_in_v1_is_shown_with_its_reason(answers: Any) -> None:
    told = answers["V1"]

    assert told["unknown model ready"][0] == told["unknown model"][0] == "HTTPStatusError"
    assert "Could not find any versions of model nobody" in told["unknown model ready"][1]
    assert "404" in told["unknown model"][1]
    assert "Servable not found for request: Latest(nobody)" in told["unknown model"][1]
    assert "400" in told["wrong rows"][1]
    assert "is not of expected type: float" in told["wrong rows"][1]


def test_a_refusal_is_shown_with_its_reason(answers: Any) -> None:
    kind, text = answers["REST"]["unknown model"]
    assert (kind, text.partition(",")[0]) == ("HTTPStatusError", "model nobody is not served here")
    kind, text = answers["gRPC"]["unknown model"]
    assert kind == "AioRpcError"
    assert "NOT_FOUND" in text
    assert "model nobody is not served here" in text
