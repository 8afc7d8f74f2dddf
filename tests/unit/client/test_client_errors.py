"""Which answer becomes which error, what is tried again, and for how long."""

from __future__ import annotations

import json

import pytest
from urllib3.util import Retry

from client import Client, Denied, InvalidRequest, NotFound, Response, ServerFault, Unavailable
from client._retrying import RETRIED

HOUSE = [6, 3, 10]


def refusal(status, message="no", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status, {"X-Request-Id": "abc", **named}, json.dumps({"error": message}).encode()
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, InvalidRequest),
        (400, InvalidRequest),
        (401, Denied),
        (403, Denied),
        (404, NotFound),
        (405, InvalidRequest),
        (408, Unavailable),
        (409, InvalidRequest),
        (413, InvalidRequest),
        (429, Unavailable),
        (499, InvalidRequest),
        (500, ServerFault),
        (501, ServerFault),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_each_status_has_its_error(hearth, clock, status, kind):
    hearth.next.append(refusal(status))
    with pytest.raises(kind) as caught:
        Client(transport=hearth, clock=clock, retries=0).predict(HOUSE)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.request_id == "abc"
    assert caught.value.url == "http://127.0.0.1:8501/v1/models/housing:predict"


def test_an_error_says_what_where_and_under_which_request_id(client, hearth):
    hearth.next.append(refusal(400, "instances[0].RM is 51 rooms, outside [0, 50]"))
    with pytest.raises(InvalidRequest) as caught:
        client.predict(HOUSE)
    assert str(caught.value) == (
        "instances[0].RM is 51 rooms, outside [0, 50] (400 from "
        "http://127.0.0.1:8501/v1/models/housing:predict, request id abc)"
    )


@pytest.mark.parametrize("body", [b"<h1>Bad\n gateway</h1>", b'{"message": 1}', b"[1]"])
def test_an_error_that_is_not_json_is_quoted(client, hearth, body):
    hearth.next.append(Response(400, {}, body))
    with pytest.raises(InvalidRequest) as caught:
        client.predict(HOUSE)
    assert " ".join(body.decode().split()) in str(caught.value)


def test_a_redirect_names_the_address_to_use(client, hearth):
    hearth.next.append(Response(308, {"location": "https://h/"}))
    with pytest.raises(InvalidRequest, match="moved to https://h/"):
        client.predict(HOUSE)


@pytest.mark.parametrize("status", RETRIED)
def test_what_may_pass_is_tried_again(client, hearth, status):
    hearth.next.extend([refusal(status), refusal(status)])
    assert client.predict(HOUSE) == 16.0
    assert len(hearth.requests) == 3


def test_a_broken_connection_is_tried_again(client, hearth):
    hearth.next.append(Unavailable("connection refused"))
    assert client.predict(HOUSE) == 16.0


@pytest.mark.parametrize("status", [400, 401, 404, 408, 409, 413, 500, 501])
def test_what_will_not_pass_is_not_tried_again(client, hearth, status):
    hearth.next.append(refusal(status, Retry_After="0"))
    with pytest.raises(Exception, match="no"):
        client.predict(HOUSE)
    assert len(hearth.requests) == 1


def test_the_last_failure_is_told_with_the_number_of_attempts(client, hearth, clock):
    hearth.next.extend([refusal(503, f"busy {n}") for n in range(9)])
    with pytest.raises(Unavailable, match=r"busy 3 .*after 4 attempts") as caught:
        client.predict(HOUSE)
    assert caught.value.attempts == len(hearth.requests) == 4
    # The first time at once, then 0.5 and 1 s, and up to 0.25 s by chance.
    assert clock.slept[0] == 0
    assert 0.5 <= clock.slept[1] < 0.75
    assert 1.0 <= clock.slept[2] < 1.25


def test_no_retries_means_one_attempt(hearth, clock):
    hearth.next.append(refusal(503))
    with pytest.raises(Unavailable):
        Client(transport=hearth, clock=clock, retries=0).predict(HOUSE)
    assert len(hearth.requests) == 1
    assert clock.slept == []


def test_the_wait_is_as_long_as_the_server_asks(client, hearth, clock):
    hearth.next.append(refusal(503, Retry_After="7"))
    assert client.predict(HOUSE) == 16.0
    assert clock.slept == [7.0]


def test_a_wait_beyond_the_budget_is_not_begun(hearth, clock):
    hearth.next.append(refusal(429, Retry_After="7"))
    with pytest.raises(Unavailable) as caught:
        Client(transport=hearth, clock=clock, timeout_s=5).predict(HOUSE)
    assert caught.value.retry_after_s == 7.0
    assert clock.slept == []


def test_a_senseless_retry_after_counts_as_none(client, hearth, clock):
    hearth.next.append(refusal(503, Retry_After="soon"))
    assert client.predict(HOUSE) == 16.0
    assert clock.slept == [0]


def test_attempts_and_waits_share_one_budget(hearth, clock):
    hearth.next.extend([refusal(503, Retry_After="4")] * 9)
    with pytest.raises(Unavailable):
        Client(transport=hearth, clock=clock, timeout_s=10, retries=9).predict(HOUSE)
    assert [request.timeout_s for request in hearth.requests] == [10, 6, 2]


def test_another_policy_may_be_given(hearth, clock):
    hearth.next.append(refusal(503))
    policy = Retry(total=5, allowed_methods=None, status_forcelist=[429])
    with pytest.raises(Unavailable):
        Client(transport=hearth, clock=clock, retries=policy).predict(HOUSE)
    assert len(hearth.requests) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "127.0.0.1:8501"}, "url '127.0.0.1:8501'"),
        ({"url": "ftp://h"}, "url 'ftp://h'"),
        ({"url": "http://"}, "url 'http://'"),
        ({"url": "http://h?x=1"}, "url"),
        ({"url": "http://h:port"}, "url 'http://h:port'"),
        ({"model": ""}, "model is empty"),
        ({"version": 1, "label": "best"}, "version 1 and label 'best'"),
        ({"timeout_s": 0}, "timeout_s is 0, not above 0"),
        ({"retries": -1}, "retries is -1, below 0"),
        ({"chunk_rows": 0}, "chunk_rows is 0, below 1"),
    ],
)
def test_a_setting_that_is_not_usable_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Client(**settings)
