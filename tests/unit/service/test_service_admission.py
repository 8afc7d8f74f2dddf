"""How much may be in flight, and whose."""

from __future__ import annotations

import resource

import pytest

from service.admission import Admission, client_of
from service.errors import Overloaded
from service.exchange import Exchange
from service.http import worker


def asked_by(client: str, method: str = "POST", caller: str = "") -> Exchange:
    return Exchange("id", method, "/", client, 0.0, caller=caller)


def taken(admission: Admission, client: str) -> int:
    """How many more a client may have in flight."""
    for count in range(1000):
        try:
            admission.take(asked_by(client), 1)
        except Overloaded:
            return count
    raise AssertionError("there is no end")


def test_a_lone_client_gets_half_the_next_half_of_the_rest():
    admission = Admission(32, 10**6)
    assert [taken(admission, it) for it in ("a", "b", "c")] == [16, 8, 4]


def test_a_place_that_is_given_back_may_be_taken_again():
    admission = Admission(2, 10**6)
    place = admission.take(asked_by("a"), 5)
    with pytest.raises(Overloaded, match="1 requests are in flight, 1 of them of this client"):
        admission.take(asked_by("a"), 5)
    admission.give(place)
    admission.take(asked_by("a"), 5)


def test_bytes_are_limited_but_for_a_first_request():
    admission = Admission(32, 100)
    place = admission.take(asked_by("a"), 1000)
    with pytest.raises(Overloaded, match="1000 bytes are in flight; with 1 more"):
        admission.hold(1)
    admission.give(place)
    admission.hold(60)
    with pytest.raises(Overloaded, match="limit of 100"):
        admission.take(asked_by("a"), 50)
    admission.hold(40)
    admission.release(100)
    admission.take(asked_by("a"), 50)


@pytest.mark.parametrize(
    ("exchange", "client"),
    [
        (asked_by("10.0.0.1"), "10.0.0.1"),
        (asked_by("10.0.0.1", "gRPC"), "10.0.0.1"),
        (asked_by("10.0.0.1", caller="alice"), "alice"),
        (asked_by("10.0.0.1", caller="anonymous"), "10.0.0.1"),
    ],
)
def test_a_client_is_told_by_its_name_or_else_its_address(exchange, client):
    assert client_of(exchange) == client


@pytest.mark.parametrize(("files", "room"), [(200, 100), (1000, 744), (1_000_000, 10_000)])
def test_there_is_room_for_some_connections_however_few_files_may_be_open(monkeypatch, files, room):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)

    assert worker._room(10_000) == room
