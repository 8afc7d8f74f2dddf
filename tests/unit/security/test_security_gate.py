"""Every way in asks the same guard, with the same answers, and reads no stranger's body."""

from __future__ import annotations

import asyncio
import json

import pytest

from service.http.fast_lane import FastLane, Lane, Outbox
from service.http.heads import Heads
from service.http.messages import QUICK_BYTES
from service.http.tensorflow_serving import TensorFlowServing
from service.security.callers import digest_of, parse_callers
from service.security.guard import Guard, Rules
from service.security.limits import Limits
from tests.unit.service.fakes import Adder, Clock
from tests.unit.service.test_service_fast_lane import LIMITS, MAX_BODY_BYTES, Way, request, split
from tests.unit.service.test_service_http import HOUSE, PREDICT, STALL, Worker

KEY, READ_KEY = "shop-key", "read-key"
TEXT = f"""
shop   predict  {digest_of(KEY)}
slow   predict  {digest_of("slow-key")}  rate=1
eyes   read     {digest_of(READ_KEY)}
boss   admin    {digest_of("boss-key")}
ops    predict  certificate:ops.example
"""
HOST = ("Host", "localhost")
MANY = json.dumps({"instances": [[1, 2, 3]] * 3000}).encode()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(clock):
    callers = parse_callers("keys", TEXT)
    return Guard(
        Rules(anonymous=frozenset()), callers=callers, limits=Limits(clock=clock), clock=clock
    )


@pytest.fixture
def worker(tmp_path, guard):
    runners = {"housing": Adder(), "slow": Adder(quick=False)}
    return Worker(tmp_path, runners, guard=guard, max_body_bytes=MAX_BODY_BYTES)


@pytest.fixture
def way(worker, guard):
    loop = asyncio.new_event_loop()
    yield guarded(worker, guard, loop)
    loop.close()


def guarded(worker, guard, loop, certificate=()):
    made = Way(worker, loop)
    shared = made.lane._lane
    lane = Lane(
        heads=Heads((TensorFlowServing(worker.repository, 2**20),), LIMITS, MAX_BODY_BYTES, guard),
        answering=shared.answering,
        exchanges=shared.exchanges,
        health=shared.health,
        loop=loop,
        outbox=Outbox(loop),
        body_timeout_s=10,
        request_timeout_s=10,
        guard=guard,
    )
    made.lane = FastLane(lane, made.transport, "10.0.0.7", made.handed_over.extend, certificate)
    return made


def bearer(key: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {key}")


SHOWN = {
    "nothing": (None, 401),
    "a key": (bearer(KEY), 200),
    "a key in its own header": (("X-API-Key", KEY), 200),
    "in small letters": (("authorization", f"bearer {KEY}"), 200),
    "a key that may read": (bearer(READ_KEY), 403),
    "a key that is not known": (bearer("wrong"), 401),
    "a password": (("Authorization", "Basic eDp5"), 401),
}


@pytest.mark.parametrize("model", ["housing", "slow"])
@pytest.mark.parametrize("body", [HOUSE, MANY, b"{"], ids=["a row", "many", "no JSON"])
@pytest.mark.parametrize("shown", SHOWN)
def test_lane_and_front_decide_and_answer_alike(worker, way, model, body, shown):
    header, status = SHOWN[shown]
    headers = [HOST, ("X-Request-Id", "same"), *([header] if header else [])]
    path = f"/v1/models/{model}:predict"

    answers, rest = way.answer(request(path=path, body=body, headers=headers))
    front = worker.through_front("POST", path, body, headers)

    assert rest == b""
    ((there, said, text),) = split(answers)
    assert (there, text) == (front.status, front.body)
    assert there == (400 if status == 200 and body == b"{" else status)
    for name in ("content-type", "www-authenticate", "retry-after", "x-request-id"):
        assert said.get(name) == front.headers.get(name), name
    assert (said.get("www-authenticate") == "Bearer") == (there == 401)
    caller = {200: "shop", 401: "", 403: "eyes"}[status]
    assert [it[0].caller for it in worker.sink.seen] == [caller] * 2


def test_a_refusal_repeats_no_key_and_is_recorded_without(worker, way):
    answers, _ = way.answer(request(headers=[HOST, bearer("my-secret")]))

    assert b"my-secret" not in answers
    ((exchange, status),) = worker.sink.seen
    assert (status, exchange.outcome) == (401, "Unauthenticated")
    assert "my-secret" not in exchange.error


def test_who_asks_too_often_is_told_when_to_come_again_on_both_ways(worker, way, clock):
    data = request(headers=[HOST, bearer("slow-key")])
    statuses = [split(way.answer(data)[0])[0] for _ in range(3)]
    front = worker.through_front("POST", PREDICT, HOUSE, [bearer("slow-key")])

    assert [it[0] for it in statuses] == [200, 429, 429]
    assert front.status == 429
    assert front.headers["retry-after"] == statuses[1][1]["retry-after"] == "1"
    assert not way.transport.closed
    clock.now_s += 1
    assert split(way.answer(data)[0])[0][0] == 200


def test_a_request_costs_one_token_whichever_way_it_is_answered(way, clock):
    unusual = b'{"instances": [[1, 2, 3]], "signature_name": "serving_default"}'
    data = request(body=unusual, headers=[HOST, bearer("slow-key")])

    assert split(way.answer(data)[0])[0][0] == 200
    clock.now_s += 1
    cut = len(data) - 4
    assert split(way.answer(data[:cut], data[cut:])[0])[0][0] == 200
    assert split(way.answer(data)[0])[0][0] == 429


def test_the_body_of_who_may_not_come_in_is_not_waited_for(worker, way):
    data = request(body=MANY, headers=[HOST, bearer("wrong")])
    assert len(MANY) > QUICK_BYTES
    head = data.index(b"\r\n\r\n") + 4

    answers, rest = way.answer(data[: head + 10])
    assert (answers, rest) == (b"", data[: head + 10])  # gunicorn and the front say it

    front = worker.through_front(
        "POST", PREDICT, headers=[bearer("wrong"), ("content-length", "99")], chunks=[STALL]
    )
    assert (front.status, front.headers["connection"]) == (401, "close")


def test_the_certificate_of_a_connection_counts(worker, guard):
    loop = asyncio.new_event_loop()
    for names, status in ((("x", "ops.example"), 200), (("stranger",), 401)):
        way = guarded(worker, guard, loop, names)
        assert split(way.answer(request())[0])[0][0] == status
    loop.close()


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/livez", None, 200),
        ("/readyz", None, 200),
        ("/metrics", None, 401),
        ("/metrics", READ_KEY, 200),
        ("/metrics", KEY, 403),
        ("/", None, 401),
        ("/", READ_KEY, 200),
        ("/openapi.json", None, 401),
        ("/static/../metrics", None, 404),
        ("/static/%2e%2e/metrics", None, 404),
        ("/nowhere", None, 401),
        ("/nowhere", READ_KEY, 404),
        ("/v1/models", READ_KEY, 200),
        ("/report/housing/1/index.html", None, 401),
    ],
)
def test_pages_need_read_and_health_needs_nothing(worker, path, key, status):
    answer = worker.through_front("GET", path, headers=[bearer(key)] if key else [])

    assert answer.status == status
    assert "connection" not in answer.headers
    assert worker.sink.seen[0][0].caller == {None: "", READ_KEY: "eyes", KEY: "shop"}[key]


def test_what_changes_things_is_audited_whether_it_may_or_not(worker):
    for key in (KEY, "boss-key"):
        worker.through_front("POST", "/v2/repository/models/housing/unload", headers=[bearer(key)])
    worker.through_front("POST", PREDICT, HOUSE, [bearer(KEY)])

    assert [(it.audited, it.caller) for it, _ in worker.sink.seen] == [
        (True, "shop"),
        (True, "boss"),
        (False, "shop"),
    ]


def test_pages_of_other_origins_change_nothing_though_anybody_may(tmp_path):
    worker = Worker(tmp_path, {"housing": Adder()}, guard=Guard())
    unload = "/v2/repository/models/housing/unload"

    assert (
        worker.through_front("POST", unload, headers=[("Origin", "http://evil.example")]).status
        == 403
    )
    assert worker.through_front("POST", unload).status == 404  # this worker has no such route
    assert (
        worker.through_front("POST", PREDICT, HOUSE, [("Origin", "http://a.example")]).status == 200
    )


def test_every_answer_that_a_browser_may_show_is_guarded(worker):
    for path in ("/", "/static/page.js", "/metrics", "/nowhere", "/livez"):
        answer = worker.through_front("GET", path, headers=[bearer(READ_KEY)])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
