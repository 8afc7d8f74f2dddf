"""KServe's own clients work unchanged, over REST and gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.clients.conftest import Ask
    from tests.servers import Server

pytestmark = pytest.mark.timeout(600)  # the first run installs the clients

HOUSES = [[6.142, 91.7, 18.72], [7.1, 40.0, 5.0]]


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


def test_a_refusal_is_shown_with_its_reason(answers: Any) -> None:
    kind, text = answers["REST"]["unknown model"]
    assert (kind, text.partition(",")[0]) == ("HTTPStatusError", "model nobody is not served here")
    kind, text = answers["gRPC"]["unknown model"]
    assert kind == "AioRpcError"
    assert "NOT_FOUND" in text
    assert "model nobody is not served here" in text
