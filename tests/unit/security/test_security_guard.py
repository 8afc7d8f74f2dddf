"""One decision for all ways in: who may do what, how often, and until when."""

from __future__ import annotations

import pytest

from service.errors import Forbidden, RateLimited, Unauthenticated
from service.security.callers import digest_of, parse_callers
from service.security.guard import Asked, Guard, Rules, shown_by
from service.security.limits import Bucket, Limits
from service.security.scopes import ALL, RPC, Routes, Scope
from tests.unit.service.fakes import Clock

NOBODY = Rules(anonymous=frozenset())
PREDICT, READ, ADMIN = Scope.PREDICT, Scope.READ, Scope.ADMIN
TEXT = f"""
shop        predict        {digest_of("shop-key")}
shop        predict        {digest_of("shop-key-2")}
dashboards  read           {digest_of("read-key")}   rate=2
gone        predict,read   {digest_of("old-key")}    expires=1970-01-02
ops         admin          certificate:ops.example
"""
DAY_S = 86400.0


def asked(key: str = "", needed: Scope = PREDICT, *names: str, client: str = "") -> Asked:
    return Asked(f"Bearer {key}" if key else "", names, needed, client)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(clock):
    callers = parse_callers("keys", TEXT)
    return Guard(NOBODY, callers=callers, limits=Limits(clock=clock), clock=clock)


def test_who_has_the_scope_comes_in_and_is_named(guard):
    assert guard.admit(asked("shop-key")) == "shop"
    assert guard.admit(asked("shop-key-2")) == "shop"
    assert guard.admit(asked("", ADMIN, "localhost", "ops.example")) == "ops"


def test_who_shows_nothing_is_told_what_to_show(guard):
    with pytest.raises(Unauthenticated, match="needs the scope predict: show a key"):
        guard.admit(asked())
    with pytest.raises(Unauthenticated):
        guard.admit(asked("", ADMIN, "stranger.example"))


@pytest.mark.parametrize(
    "shown", ["Bearer wrong", "Basic c2hvcDprZXk=", "shop-key", "Bearer ", "Bearer"]
)
def test_what_is_not_known_does_not_count(guard, shown):
    with pytest.raises(Unauthenticated) as refused:
        guard.admit(Asked(shown, (), PREDICT))
    assert "wrong" not in refused.value.message


def test_who_has_not_the_scope_is_told_which(guard):
    for needed in (READ, ADMIN):
        with pytest.raises(Forbidden, match=f"^shop has not the scope {needed}$"):
            guard.admit(asked("shop-key", needed))


def test_admin_holds_no_other_scope(guard):
    with pytest.raises(Forbidden):
        guard.admit(asked("", PREDICT, "ops.example"))


def test_a_key_ends_when_it_says_though_it_was_let_in_before(guard, clock):
    assert guard.admit(asked("old-key")) == "gone"

    clock.now_s = DAY_S
    with pytest.raises(Unauthenticated, match="expired"):
        guard.admit(asked("old-key"))


def test_keys_that_are_taken_away_do_not_count_from_then_on(guard):
    assert guard.admit(asked("shop-key")) == "shop"

    guard.know(parse_callers("keys", f"other read {digest_of('other')}"))

    with pytest.raises(Unauthenticated):
        guard.admit(asked("shop-key"))
    assert guard.admit(asked("other", READ)) == "other"


def test_a_wrong_key_is_wrong_each_time_it_comes(guard):
    for number in range(10_000):
        with pytest.raises(Unauthenticated):
            guard.admit(asked(f"wrong-{number}"))
    assert len(guard._grants) == 0


def test_a_rate_holds_for_a_caller_whatever_it_asks_and_counts_on(guard, clock):
    for _ in range(2):
        guard.admit(asked("read-key", READ))
    with pytest.raises(RateLimited, match="more than 2 requests a second") as refused:
        guard.admit(asked("read-key", READ))
    assert refused.value.retry_after_s == 1

    clock.now_s += 0.5  # at two a second, one token
    guard.admit(asked("read-key", READ))
    with pytest.raises(RateLimited):
        guard.admit(asked("read-key", READ))


def test_both_keys_of_a_caller_share_one_rate(clock):
    text = "\n".join(f"shop predict {digest_of(key)} rate=2" for key in ("one", "two"))
    guard = Guard(NOBODY, callers=parse_callers("k", text), limits=Limits(clock=clock), clock=clock)

    guard.admit(asked("one"))
    guard.admit(asked("two"))
    with pytest.raises(RateLimited):
        guard.admit(asked("one"))


def test_callers_who_show_nothing_have_a_rate_an_address(clock):
    guard = Guard(limits=Limits(1, clock=clock), clock=clock)
    assert guard.limits_addresses

    guard.admit(asked(client="10.0.0.1"))
    guard.admit(asked(client="10.0.0.2"))
    with pytest.raises(RateLimited):
        guard.admit(asked(client="10.0.0.1"))


def test_who_asks_after_a_long_time_has_no_more_than_a_burst(clock):
    bucket = Bucket(10, 3, clock)
    clock.now_s += 3600

    for _ in range(3):
        bucket.take()
    with pytest.raises(RateLimited):
        bucket.take()


def test_over_a_long_time_a_bucket_gives_its_rate(clock):
    bucket = Bucket(10, 5, clock)
    taken = 0
    for _ in range(10_000):  # 100 s, asked every 10 ms
        clock.now_s += 0.01
        try:
            bucket.take()
        except RateLimited:
            continue
        taken += 1

    assert 1000 <= taken <= 1005


def test_a_slow_rate_says_how_long_to_wait(clock):
    bucket = Bucket(0.1, 1, clock)
    bucket.take()

    with pytest.raises(RateLimited) as refused:
        bucket.take()
    assert refused.value.retry_after_s == 10


def test_workers_share_a_rate_out(clock):
    bucket = Limits(100, workers=4, clock=clock).bucket("shop", None)

    for _ in range(25):
        bucket.take()
    with pytest.raises(RateLimited):
        bucket.take()


def test_a_workers_share_comes_back_at_its_share_of_the_rate(clock):
    bucket = Limits(100, workers=4, clock=clock).bucket("shop", None)
    for _ in range(25):
        bucket.take()

    clock.now_s += 0.2
    for _ in range(5):
        bucket.take()
    with pytest.raises(RateLimited, match="more than 25 requests a second"):
        bucket.take()


def test_buckets_of_many_addresses_do_not_pile_up(clock):
    limits = Limits(1, clock=clock)
    for number in range(3 * Limits.MOST):
        limits.bucket(f"anonymous {number}", None)

    assert len(limits._buckets) <= Limits.MOST


def test_a_bucket_is_kept_while_there_is_room(clock):
    limits = Limits(1, clock=clock)
    first = limits.bucket("shop", None)
    for number in range(Limits.MOST - 1):
        limits.bucket(f"anonymous {number}", None)

    assert limits.bucket("shop", None) is first


def test_a_guard_that_knows_nobody_is_open_and_any_other_is_not(guard):
    assert Guard().is_open
    assert not guard.is_open
    assert not Guard(limits=Limits(5)).is_open
    assert not Guard(Rules(anonymous=frozenset({PREDICT, READ}))).is_open


def test_a_key_that_a_gateway_passes_on_means_nothing_where_there_are_no_keys():
    guard = Guard(Rules(anonymous=frozenset({PREDICT, READ})))

    assert guard.admit(asked("a-gateways-own")) == "anonymous"
    with pytest.raises((Unauthenticated, Forbidden)):
        guard.admit(asked("a-gateways-own", ADMIN))


def test_a_certificate_of_the_authority_suffices_where_no_file_names_callers():
    guard = Guard(Rules(anonymous=frozenset(), certified=frozenset({PREDICT, READ})))

    assert guard.admit(asked("", READ, "somebody.example")) == "somebody.example"
    with pytest.raises(Forbidden):
        guard.admit(asked("", ADMIN, "somebody.example"))
    with pytest.raises(Unauthenticated):
        guard.admit(asked("", READ))


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({}, ""),
        ({"authorization": "Bearer x"}, "Bearer x"),
        ({"x-api-key": "x"}, "Bearer x"),
        ({"x-api-key": "x", "authorization": "Basic eA=="}, "Bearer x"),
        ({"x-api-key": ""}, "Bearer "),
    ],
)
def test_a_key_may_stand_in_either_header(headers, shown):
    assert shown_by(headers) == shown


ROUTES = {
    None: [
        ("GET", "/livez"), ("GET", "/readyz"), ("HEAD", "/readyz"), ("GET", "/ping"),
        ("GET", "/health"), ("GET", "/v2/health/live"), ("GET", "/v2/health/ready"),
        ("OPTIONS", "/v1/models/housing:predict"),
        (RPC, "/grpc.health.v1.Health/Check"), (RPC, "/grpc.health.v1.Health/Watch"),
        (RPC, "/inference.GRPCInferenceService/ServerLive"),
        (RPC, "/inference.GRPCInferenceService/ServerReady"),
    ],
    PREDICT: [
        ("POST", "/v1/models/housing:predict"), ("POST", "/V1/Models/housing:predict"),
        ("POST", "/v1/models/housing/versions/1:classify"),
        ("POST", "/v1/models/team%2Fhousing/labels/stable:regress"),
        ("POST", "/v1/models/housing:explain"), ("POST", "/v1/models/housing:feedback"),
        ("POST", "/v2/models/housing/infer"), ("POST", "/v2/models/housing/versions/3/infer"),
        ("POST", "/invocations"),
        (RPC, "/tensorflow.serving.PredictionService/Predict"),
        (RPC, "/tensorflow.serving.PredictionService/MultiInference"),
        (RPC, "/inference.GRPCInferenceService/ModelInfer"),
    ],
    READ: [
        ("GET", "/"), ("GET", "/metrics"), ("GET", "/v1/models"), ("GET", "/v1/models/housing"),
        ("GET", "/report/housing/1/index.html"), ("GET", "/openapi.json"), ("GET", "/nowhere"),
        ("GET", "/%6civez"), ("GET", "/livez/"), ("GET", "/version"),
        ("GET", "/v1/models/housing/drift"), ("GET", "/v1/models/housing/partial_dependence"),
        ("GET", "/openapi.json"), ("POST", "/v2/repository/index"),
        (RPC, "/tensorflow.serving.ModelService/GetModelStatus"),
        (RPC, "/tensorflow.serving.PredictionService/GetModelMetadata"),
        (RPC, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
    ],
    ADMIN: [
        ("POST", "/v2/repository/models/housing/load"),
        ("POST", "/v2/repository/models/housing/unload"),
        ("POST", "/v1/models/housing:promote"), ("POST", "/nowhere"), ("PUT", "/v1/models/x"),
        ("DELETE", "/v1/models/housing"), ("POST", "/v2/models/housing/infer/"),
        ("POST", "/invocations/x"),
        (RPC, "/tensorflow.serving.ModelService/HandleReloadConfigRequest"),
        (RPC, "/inference.GRPCInferenceService/RepositoryModelLoad"),
        (RPC, "/inference.GRPCInferenceService/RepositoryModelUnload"),
        (RPC, "/some.Service/Unheard"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("needed", ROUTES)
def test_every_route_needs_its_scope_and_what_is_not_known_needs_admin(needed):
    wrong = [it for it in ROUTES[needed] if Routes().needed(*it) != needed]

    assert wrong == []


def test_further_routes_may_be_open_or_predict():
    routes = Routes(open=frozenset({"/metrics", "/h"}), predicting=frozenset({"/p"}))

    assert routes.needed("GET", "/metrics") is None
    assert routes.needed("GET", "/h") is None
    assert routes.needed("POST", "/p") is PREDICT
    assert routes.needed("POST", "/h") is ADMIN


def test_all_scopes_are_all():
    assert {PREDICT, READ, ADMIN} == ALL
