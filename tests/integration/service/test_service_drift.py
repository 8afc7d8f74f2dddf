"""Drift as the service tells of it: every way to ask counts once, over all workers."""

from __future__ import annotations

import http.client
import json
import os
import signal
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.integration.rpc.calling import calling, price_of, regress
from tests.integration.service.wire import PREDICT, connect, post
from tests.servers import metric, running_service, wait_until, workers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import Server

DRIFT = "/v1/models/housing/drift"
INFER = "/v2/models/housing/infer"
ROW = [6.142, 91.7, 18.72]
HOUSE = {"RM": 6.142, "AGE": 91.7, "LSTAT": 18.72}
TENSOR = {"name": "features", "shape": [1, 3], "datatype": "FP32"}
BINARY = {
    "inputs": [{**TENSOR, "parameters": {"binary_data_size": 12}}],
    "outputs": [{"name": "price", "parameters": {"binary_data": True}}],
}


def rows_of(service: Server) -> int:
    return service.get(DRIFT).json()["rows"]


def by_hand(service: Server, request: bytes) -> None:
    """A request as bytes: with ``TE`` it is gunicorn's and the front's."""
    with connect(service.url) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        assert answer.status == 200


def grpc(call: Callable[[Any], object]) -> Callable[[Server], None]:
    def ask(service: Server) -> None:
        with calling(service.grpc) as client:
            call(client)

    return ask


def binary(service: Server) -> None:
    head = json.dumps(BINARY).encode()
    length = f"Inference-Header-Content-Length: {len(head)}"
    by_hand(service, post(head + struct.pack("<3f", *ROW), length, path=INFER))


def posted(path: str, document: Any) -> Callable[[Server], None]:
    def ask(service: Server) -> None:
        answer = service.post(path, document)
        assert answer.status == 200, answer.text

    return ask


def both_signatures(client: Any) -> None:
    from tests.integration.rpc.calling import tasks

    client.prediction.MultiInference(tasks(("regress", "regress"), row=HOUSE), timeout=20)


def twice(client: Any) -> None:
    """The second message is like the first, and answered by its template."""
    client.predict(price_of(ROW))
    client.predict(price_of(ROW))


# How many rows each asks for.
WAYS = {
    "rows": (1, posted(PREDICT, {"instances": [ROW]})),
    "by name": (1, posted(PREDICT, {"instances": [HOUSE]})),
    "of a version": (1, posted("/v1/models/housing/versions/1:predict", {"instances": [ROW]})),
    "columns": (2, posted(PREDICT, {"inputs": [ROW, ROW]})),
    "named": (
        1,
        posted(
            PREDICT,
            {"signature_name": "named", "inputs": {key: [it] for key, it in HOUSE.items()}},
        ),
    ),
    "many": (300, posted(PREDICT, {"instances": [ROW] * 300})),
    "past the lane": (
        1,
        lambda it: by_hand(it, post(json.dumps({"instances": [ROW]}).encode(), "TE: trailers")),
    ),
    "regress": (
        1,
        posted("/v1/models/housing:regress", {"signature_name": "regress", "examples": [HOUSE]}),
    ),
    "v2": (1, posted(INFER, {"inputs": [{**TENSOR, "data": ROW}]})),
    "v2 with outputs": (
        1,
        posted(INFER, {"inputs": [{**TENSOR, "data": [ROW]}], "outputs": [{"name": "price"}]}),
    ),
    "v2 binary": (1, binary),
    "invocations": (1, posted("/invocations", {"inputs": [ROW]})),
    "gRPC": (2, grpc(twice)),
    "gRPC regress": (1, grpc(lambda it: it.prediction.Regress(regress(HOUSE), timeout=20))),
    "gRPC multi": (1, grpc(both_signatures)),
}
SERVICES = {
    "litert": {},
    "tensorflow": {"executor": "tensorflow", "enable_batching": "false"},
    "joined": {"executor": "tensorflow", "enable_batching": "true"},
}


@pytest.fixture(scope="module", params=SERVICES)
def service(request, housing_models) -> Iterator[Server]:
    with running_service(housing_models, **SERVICES[request.param]) as server:
        yield server


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_ask_is_counted_once(service, way):
    rows, ask = WAYS[way]
    before = rows_of(service)

    ask(service)

    wait_until(lambda: rows_of(service) >= before + rows, f"{rows} rows are counted")
    assert rows_of(service) == before + rows


# Down the fast lane, and with the further header through the front.
LANES = {"lane": (), "front": ("TE: trailers",)}
UNREAL = {
    "v1": (PREDICT, {"instances": [ROW]}),
    "v1 columns": (PREDICT, {"inputs": [ROW]}),
    "v2": (INFER, {"inputs": [{**TENSOR, "data": ROW}]}),
    "invocations": ("/invocations", {"inputs": [ROW]}),
}


@pytest.mark.parametrize("headers", LANES.values(), ids=LANES)
@pytest.mark.parametrize(("path", "document"), UNREAL.values(), ids=UNREAL)
def test_what_is_said_to_be_no_real_case_is_answered_but_not_counted(
    service, headers, path, document
):
    before, body = rows_of(service), json.dumps(document).encode()
    answered = metric(service, "hearth_requests_total", outcome="ok", model="housing")
    further = ("Content-Type: application/json", *headers)

    for _ in range(3):  # a head that is known by now has its shortcut
        by_hand(service, post(body, *further, "X-Observe: no", path=path))
    by_hand(service, post(body, *further, path=path))

    wait_until(lambda: rows_of(service) >= before + 1, "the real one is counted")
    assert rows_of(service) == before + 1
    assert metric(service, "hearth_requests_total", outcome="ok", model="housing") >= answered + 4


def test_a_call_that_is_said_to_be_no_real_case_is_not_counted(service):
    before = rows_of(service)
    with calling(service.grpc) as client:
        for metadata in ((("x-observe", "no"),), ()):
            client.prediction.Predict(price_of(ROW), timeout=20, metadata=metadata)

    wait_until(lambda: rows_of(service) >= before + 1, "the real one is counted")
    assert rows_of(service) == before + 1


def test_what_is_refused_is_not_counted(service):
    before = rows_of(service)
    assert service.post(PREDICT, {"instances": [[6, 50, 101]]}).status == 400

    assert rows_of(service) == before


def test_all_columns_are_told(service):
    told = service.get(DRIFT).json()

    assert [it["column"] for it in told["columns"]] == ["RM", "AGE", "LSTAT", "price"]
    assert {it["training_rows"] for it in told["columns"]} == {404}
    for it in told["columns"]:
        assert sum(it["training_shares"]) == pytest.approx(1)
        assert len(it["edges"]) == len(it["training_shares"]) + 1


def test_an_unknown_model_is_told_so_as_ever(service):
    assert service.get("/v1/models/nobody/drift").status == 404
    assert service.get("/v1/models/housing/versions/7/drift").status == 404


@pytest.fixture
def two_workers(housing_models) -> Iterator[Server]:
    with running_service(housing_models, workers=2) as server:
        wait_until(lambda: metric(server, "hearth_workers") == 2, "two workers")
        yield server


def test_workers_add_up_and_a_dead_one_s_rows_stay(two_workers, housing_rows):
    service, count = two_workers, 120
    for row in housing_rows[:count]:
        assert service.post(PREDICT, {"instances": [row]}).status == 200
    wait_until(lambda: rows_of(service) == count, "the rows of both workers are counted")
    assert metric(service, "hearth_drift_rows") == count
    assert service.get(DRIFT).json()["drifted"] == []

    old = min(workers_of(service))
    os.kill(old, signal.SIGKILL)
    wait_until(
        lambda: old not in workers_of(service) and len(workers_of(service)) == 2, "a new worker"
    )
    wait_until(lambda: metric(service, "hearth_workers") == 2, "it counts itself")
    assert rows_of(service) == count

    moved = [[rooms + 1.5, age, status] for rooms, age, status in housing_rows[:count]]
    for _ in range(3):
        assert service.post(PREDICT, {"instances": moved}).status == 200
    wait_until(lambda: rows_of(service) == 4 * count, "the moved rows are counted")
    assert "RM" in service.get(DRIFT).json()["drifted"]
    assert metric(service, "hearth_drift_detected", column="RM") == 1


@pytest.fixture(scope="module")
def housing_rows() -> list[list[float]]:
    """Rows of the table, in an order of chance."""
    import pandas as pd

    from tests.servers import ROOT

    table = pd.read_csv(ROOT / "data/boston_housing.csv")[["RM", "AGE", "LSTAT"]]
    return np.random.default_rng(5).permutation(table.to_numpy()).tolist()


def test_where_nobody_looks_there_is_nothing_to_tell(housing_models):
    with running_service(housing_models, drift_window_s=0) as service:
        answer = service.get(DRIFT)

        assert answer.status == 404
        assert "--drift_window_s" in answer.text
        assert "hearth_drift" not in service.get("/metrics").text
