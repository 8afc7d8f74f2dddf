"""True prices given to a whole service: metrics, and a table to train on, come of them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from client import Client
from tests.integration.service.test_service_workers import metric
from tests.servers import ROOT, running_service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

FEEDBACK = "/v1/models/housing:feedback"
ROWS = [[6.142, 91.7, 18.72], [5.0, 40.0, 30.0]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def service(housing_models, folder) -> Iterator[Server]:
    with running_service(housing_models, workers=2, feedback_folder=folder) as server:
        yield server


def predicted(service: Server, request_id: str) -> list[float]:
    """Prices under an id of the caller's own, over a connection of their own."""
    with Client(service.url, request_id=request_id) as client:
        return client.predict(ROWS)


def test_true_prices_find_their_predictions_whichever_worker_made_them(service, folder):
    prices = {f"house-{number}": predicted(service, f"house-{number}") for number in range(20)}
    wait_until(
        lambda: metric(service, "hearth_feedback_predictions_total", outcome="kept") >= 40,
        "the predictions are kept",
    )

    # Each truth is 2 below the first row's prediction, and 1 above the second's.
    given = [
        {"request_id": request_id, "row": row, "price": price + (1 if row else -2)}
        for request_id, several in prices.items()
        for row, price in enumerate(several)
    ]
    for start in range(0, 40, 8):  # over several connections, to both workers
        told = service.post(FEEDBACK, {"feedback": given[start : start + 8]}).json()
        assert told == {"matched": 8, "unmatched": []}

    assert metric(service, "hearth_feedback_rows") == 40
    assert metric(service, "hearth_feedback_mae") == pytest.approx(1.5, abs=1e-4)
    assert metric(service, "hearth_feedback_bias") == pytest.approx(0.5, abs=1e-4)
    wait_until(
        lambda: metric(service, "hearth_feedback_truths_total", outcome="matched") == 40,
        "the truths of both workers are counted",
    )

    output = folder / "truths.csv"
    command = [sys.executable, "-m", "service.feedback", str(folder), "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "40 rows" in done.stdout
    head, first, *rest = output.read_text().splitlines()
    assert head == "RM,AGE,LSTAT,MEDV"
    assert first.startswith("6.142,91.7,18.72,")
    assert len(rest) == 39


def test_the_client_gives_them_too(service):
    with Client(service.url) as client:
        price = client.under("by-the-client:1").predict(ROWS[0])
        wait_until(
            lambda: client.feedback({"by-the-client:1": price})["matched"] == 1,
            "the prediction is kept, and found",
        )
        assert client.drift()["rows"] > 0


def test_what_nobody_predicted_is_told(service):
    told = service.post(FEEDBACK, {"request_id": "nobody", "price": 20}).json()

    assert told == {"matched": 0, "unmatched": [{"request_id": "nobody", "row": 0}]}


@pytest.mark.parametrize(
    ("path", "body", "status", "problem"),
    [
        (FEEDBACK, {"request_id": "a"}, 400, "price is not a finite number"),
        (FEEDBACK, b"{", 400, "JSON"),
        ("/v1/models/housing/versions/1:feedback", {}, 400, "not to a version"),
        ("/v1/models/nobody:feedback", {"request_id": "a", "price": 1}, 404, "nobody"),
    ],
)
def test_what_makes_no_sense_is_refused(service, path, body, status, problem):
    answer = service.post(path, body)

    assert answer.status == status
    assert problem in answer.json()["error"]


def test_where_nothing_is_kept_nothing_can_be_joined(housing_models):
    with running_service(housing_models) as service:
        answer = service.post(FEEDBACK, {"request_id": "a", "price": 1})

        assert answer.status == 404
        assert "--feedback_folder" in answer.text
