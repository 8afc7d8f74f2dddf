"""OpenVINO Model Server's client works with Hearth, over REST and over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.clients.conftest import Ask
    from tests.servers import Server

pytestmark = pytest.mark.timeout(600)  # the first run installs the client

HOUSES = [[6.142, 91.7, 18.72], [7.1, 40.0, 5.0]]


def test_openvinos_client_gets_the_same_prices_from_the_default_version(
    service: Server, ask: Ask
) -> None:
    answer = service.post("/v1/models/housing:predict", {"instances": HOUSES})
    prices = pytest.approx(answer.json()["predictions"], abs=1e-5)

    answers = ask("ovmsclient", service.url.removeprefix("http://"), service.grpc, HOUSES)

    for wire in ("REST", "gRPC"):
        assert answers[wire] == {
            "default": prices,
            "version 1": prices,
            "states": {"1": "AVAILABLE"},
            "unknown model": "ModelNotFoundError",
        }
    features = {"shape": [-1, 3], "dtype": "DT_FLOAT"}
    assert answers["metadata"] == {"version": 1, "inputs": {"features": features}}
