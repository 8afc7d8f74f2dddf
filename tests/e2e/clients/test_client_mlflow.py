"""MLflow's own scoring client is answered as by its own server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from service import VERSION

if TYPE_CHECKING:
    from tests.e2e.clients.conftest import Ask
    from tests.servers import Server

pytestmark = pytest.mark.timeout(600)  # the first run installs the client

HOUSES = [[6.142, 91.7, 18.72], [7.1, 40.0, 5.0]]


@pytest.fixture(scope="module")
def prices(service: Server) -> list[float]:
    """The prices by TensorFlow Serving's route."""
    answer = service.post("/v1/models/housing:predict", {"instances": HOUSES})
    return answer.json()["predictions"]


def test_the_scoring_client_gets_the_same_prices_in_every_form(
    service: Server, ask: Ask, prices: list[float]
) -> None:
    url = urlsplit(service.url)

    answers = ask("mlflow", url.hostname, url.port, HOUSES)

    forms = ("dataframe", "shuffled", "array", "records", "body", "named", "as a table")
    assert {form: answers[form] for form in forms} == dict.fromkeys(forms, prices)
    assert answers["version"] == VERSION
    assert '"error_code":"INVALID_PARAMETER_VALUE"' in answers["refusal"]
    assert "missing columns: LSTAT; needed: RM, AGE, LSTAT" in answers["refusal"]
