"""What a client can ask beside prices: contract, models, status, readiness."""

from __future__ import annotations

import json

import pytest

from client import (
    Client,
    InvalidRequest,
    NotFound,
    Response,
    ServerFault,
    Unavailable,
    VersionStatus,
)


def test_the_contract_names_features_target_and_metrics(client):
    contract = client.contract()
    assert contract.feature_names == ("RM", "AGE", "LSTAT")
    assert contract.features[0].maximum == 100
    assert contract.target.unit == "thousand USD"
    assert contract.metrics["test"]["network"]["mae"] == 3.25
    assert contract.document["something_new"] == 1


def test_the_contract_of_whatever_answers_is_asked_for_anew(client, hearth):
    client.contract()
    hearth.names = ("LSTAT",)
    assert client.contract().feature_names == ("LSTAT",)


def test_the_contract_of_a_fixed_version_is_asked_for_once(hearth):
    client = Client(transport=hearth, version=3)
    assert client.contract() is client.contract()
    assert len(hearth.requests) == 1


def test_a_server_without_contracts_says_so(client, hearth):
    hearth.describes = False
    with pytest.raises(InvalidRequest, match="describes no contract"):
        client.contract()


def test_models_and_status(client):
    assert client.models() == ["housing"]
    assert client.status() == [VersionStatus(3, "AVAILABLE"), VersionStatus(2, "END")]
    assert client.metadata()["model_spec"]["version"] == "3"


@pytest.mark.parametrize("question", ["contract", "models", "status", "metadata", "pinned"])
@pytest.mark.parametrize("body", [b"[1]", b"1", b"not json"])
def test_an_answer_of_an_unknown_form_is_the_servers_fault(client, hearth, question, body):
    hearth.next.append(Response(200, {}, body))
    with pytest.raises(ServerFault, match=r"unknown form|not JSON"):
        getattr(client, question)()


@pytest.mark.parametrize(
    ("question", "body"),
    [
        ("contract", b'{"features": 3}'),
        ("pinned", b'{"model_spec": 3}'),
        ("pinned", b'{"model_spec": {"version": "new"}}'),
        ("status", b'{"model_version_status": [{"version": "x", "state": "END"}]}'),
    ],
)
def test_a_part_of_an_unknown_form_is_the_servers_fault_too(client, hearth, question, body):
    hearth.next.append(Response(200, {}, body))
    with pytest.raises(ServerFault, match="unknown form"):
        getattr(client, question)()


def test_an_unknown_model_is_not_found(hearth):
    client = Client(model="castle", transport=hearth)
    for question in (client.contract, client.status, client.metadata, client.pinned):
        with pytest.raises(NotFound):
            question()


def test_a_pinned_client_keeps_its_version_while_the_server_swaps(client, hearth):
    pinned = client.pinned()
    assert pinned.version == 3
    assert pinned.pinned() is pinned
    hearth.versions[4] = "AVAILABLE"
    pinned.predict([6, 3, 10])
    assert hearth.paths[-1] == "/v1/models/housing/versions/3:predict"
    assert client.pinned().version == 4


def test_a_label_is_pinned_to_the_version_behind_it(hearth):
    assert Client(label="best", transport=hearth).pinned().version == 3


def test_ready_is_asked_once(client, hearth):
    hearth.next.extend([Response(503, {}, b'{"error": "loading"}'), Unavailable("refused")])
    assert [client.ready(), client.ready(), client.ready()] == [False, False, True]
    assert len(hearth.requests) == 3


def test_a_server_without_readyz_is_ready_with_a_version(client, hearth):
    hearth.describes = False
    assert client.ready()
    hearth.versions = {3: "LOADING"}
    hearth.answer = lambda request: (
        (404, {"error": "no"}) if request.url.endswith("/readyz") else hearth.describe(None, 3)
    )
    assert not client.ready()


def test_a_server_without_readyz_and_without_the_model_is_not_ready(hearth):
    hearth.describes = False
    assert not Client(model="castle", transport=hearth).ready()


def test_wait_returns_as_soon_as_it_is_ready(client, hearth, clock):
    hearth.next.extend([Unavailable("connection refused")] * 5)
    client.wait(60)
    assert len(clock.slept) == 5


def test_wait_gives_up_in_time_with_the_last_reason(client, hearth, clock):
    hearth.next.extend([Response(503, {}, b'{"error": "housing is loading"}')] * 99)
    began = clock.now()
    with pytest.raises(Unavailable, match="not ready within 2 s: housing is loading") as caught:
        client.wait(2)
    assert clock.now() - began <= 2
    assert caught.value.status == 503


def test_a_wait_asks_no_longer_than_it_may_take(client, hearth):
    client.wait(0.5)
    assert hearth.requests[0].timeout_s <= 0.5


def test_a_given_transport_is_left_open(hearth):
    hearth.close = lambda: pytest.fail("closed what another owns")
    with Client(transport=hearth) as client:
        client.models()


def test_requests_under_an_id_carry_it(client, hearth):
    client.under("house-7").predict([6, 3, 10])
    client.predict([6, 3, 10])
    assert [request.request_id for request in hearth.requests] == ["house-7", None]


def test_true_prices_are_given_by_id_and_row(client, hearth):
    told = {"matched": 2, "unmatched": [{"request_id": "b", "row": 1}]}
    hearth.next.append(Response(200, {}, json.dumps(told).encode()))
    assert client.feedback({"a": 24.0, "b": [20.0, 21.5]}) == told
    assert hearth.paths == ["/v1/models/housing:feedback"]
    assert hearth.bodies == [
        {
            "feedback": [
                {"request_id": "a", "row": 0, "price": 24.0},
                {"request_id": "b", "row": 0, "price": 20.0},
                {"request_id": "b", "row": 1, "price": 21.5},
            ]
        }
    ]


def test_true_prices_are_given_to_the_model_whatever_version_is_asked(hearth):
    hearth.next.append(Response(200, {}, b'{"matched": 1, "unmatched": []}'))
    Client(transport=hearth, version=3).feedback({"a": 24.0})
    assert hearth.paths == ["/v1/models/housing:feedback"]


def test_drift_is_what_the_server_says(hearth):
    told = {"rows": 9, "drifted": [], "columns": []}
    hearth.next.append(Response(200, {}, json.dumps(told).encode()))
    assert Client(transport=hearth, version=3).drift() == told
    assert hearth.paths == ["/v1/models/housing/versions/3/drift"]


@pytest.mark.parametrize("ask", [lambda it: it.drift(), lambda it: it.feedback({"a": 1.0})])
def test_an_answer_without_what_was_asked_for_is_the_servers_fault(client, hearth, ask):
    hearth.next.append(Response(200, {}, b'{"something": "else"}'))
    with pytest.raises(ServerFault, match="unknown form"):
        ask(client)
