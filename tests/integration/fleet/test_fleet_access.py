"""How servers behind are reached: TLS, certificates, keys; with a real one that asks for them."""

from __future__ import annotations

import json
import logging
import signal

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.errors import NotReady
from service.remote.channel import read_access
from service.remote.fleet import Fleet
from service.repository.config import ModelConfig
from service.security.callers import digest_of
from service.settings import REMOTE_PROTOCOLS
from tests.certificates import certify, ssl_config
from tests.integration.service.wire import HOUSE, PREDICT
from tests.servers import metric, running_service, wait_until

KEYS = {it: f"hearth_{it}_{'k' * 30}" for it in ("front", "old", "narrow", "stranger")}


class Nobody:
    """Is told of calls, and counts none."""

    def called(self, model: str, code: str, seconds: float) -> None:
        """See ``FleetObserver``."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An authority, what it has certified, and somebody whom it has not."""
    folder = tmp_path_factory.mktemp("world")
    authority = certify(folder, "authority")
    signed = {it: certify(folder, it, authority) for it in ("server", "front")}
    return {"authority": authority, "stranger": certify(folder, "stranger"), **signed}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys"
    write_keys(path, KEYS["front"])
    return path


def write_keys(path, of_the_front: str) -> None:
    lines = [
        f"front predict,read {digest_of(of_the_front)}",
        f"old predict,read {digest_of(KEYS['old'])} expires=2001-01-01",
        f"narrow predict {digest_of(KEYS['narrow'])}",
    ]
    (path.parent / "new").write_text("\n".join(lines))
    (path.parent / "new").rename(path)


@pytest.fixture(scope="module")
def server(housing_models, world, keys, tmp_path_factory):
    """A Hearth that shows a certificate, asks for one, and for a key."""
    config = ssl_config(
        tmp_path_factory.mktemp("tls"), world["server"], world["authority"], verify=True
    )
    with running_service(housing_models, ssl_config_file=config, api_key_file=keys) as running:
        yield running


@pytest.fixture
def remote(world, tmp_path):
    """Writes a --remote_config_file: all that is right, but for what is said."""

    def write(key: str = KEYS["front"], **changes: str | None):
        right = {
            "authority_file": str(world["authority"].certificate),
            "certificate_file": str(world["front"].certificate),
            "key_file": str(world["front"].key),
            "metadata": {"authorization": f"Bearer {key}"} if key else {},
        }
        given = {name: it for name, it in (right | changes).items() if it is not None}
        path = tmp_path / "remote.json"
        path.write_text(json.dumps(given))
        return path

    write.stranger = str(world["stranger"].certificate)
    return write


@pytest.mark.parametrize("protocol", REMOTE_PROTOCOLS)
def test_a_front_with_certificate_and_key_is_let_in(server, housing_models, remote, protocol):
    nameless = remote(server_name="localhost")
    with running_service(
        housing_models,
        remote_servers=server.grpc,
        remote_config_file=nameless,
        remote_protocol=protocol,
    ) as front:
        assert front.post(PREDICT, HOUSE).status == 200
        assert metric(front, "hearth_remote_call_seconds_count", code="OK") > 0
        assert KEYS["front"] not in front.output()


def test_health_is_watched_without_a_key(server, world):
    pair = world["front"]
    credentials = grpc.ssl_channel_credentials(
        world["authority"].certificate.read_bytes(),
        pair.key.read_bytes(),
        pair.certificate.read_bytes(),
    )
    with grpc.secure_channel(server.grpc, credentials) as channel:
        watched = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=""), timeout=20
        )
        first = next(watched)
        watched.cancel()

    assert first.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("wrong", "code", "logged"),
    [
        ("authority", "UNAVAILABLE", "CERTIFICATE_VERIFY_FAILED"),
        ("name", "UNAVAILABLE", "Hostname Verification"),
        ("no certificate", "UNAVAILABLE", ""),
        ("no TLS", "UNAVAILABLE", ""),
        ("no key", "UNAUTHENTICATED", "UNAUTHENTICATED"),
        ("expired key", "UNAUTHENTICATED", "UNAUTHENTICATED"),
        ("unknown key", "UNAUTHENTICATED", "UNAUTHENTICATED"),
        ("key that may not read", "PERMISSION_DENIED", "narrow"),
    ],
)
def test_who_is_not_let_in_is_told_why_and_nothing_more(
    server, remote, caplog, wrong, code, logged
):
    file = {
        "authority": lambda: remote(authority_file=remote.stranger),
        "name": lambda: remote(server_name="nobody.example"),
        "no certificate": lambda: remote(certificate_file=None, key_file=None),
        "no TLS": lambda: remote(authority_file=None, certificate_file=None, key_file=None),
        "no key": lambda: remote(""),
        "expired key": lambda: remote(KEYS["old"]),
        "unknown key": lambda: remote(KEYS["stranger"]),
        "key that may not read": lambda: remote(KEYS["narrow"]),
    }[wrong]()
    fleet = Fleet([server.grpc], read_access(file), Nobody())

    with caplog.at_level(logging.WARNING), pytest.raises(NotReady) as refused:
        fleet.find(ModelConfig("housing", file.parent))

    assert refused.value.message == f"the fleet cannot be asked for its versions: {code}"
    (record,) = caplog.records
    assert server.grpc in record.message
    assert logged in record.message
    assert not any(it in record.message for it in KEYS.values())


def test_a_key_that_is_taken_back_turns_readiness_and_a_new_one_is_waited_for(
    server, housing_models, remote, keys
):
    with running_service(
        housing_models, remote_servers=server.grpc, remote_config_file=remote()
    ) as front:
        assert front.post(PREDICT, HOUSE).status == 200
        write_keys(keys, KEYS["stranger"])
        try:
            wait_until(lambda: front.post(PREDICT, HOUSE).status == 503, "it is not let in")
            wait_until(lambda: not_ready(front), "readiness turns")
            answer = front.post(PREDICT, HOUSE)
        finally:
            write_keys(keys, KEYS["front"])
        wait_until(lambda: front.post(PREDICT, HOUSE).status == 200, "it is let in again")
        wait_until(lambda: front.get("/readyz").status == 200, "it is ready again")
        write_keys(keys, KEYS["stranger"])
        try:
            wait_until(lambda: front.post(PREDICT, HOUSE).status == 503, "it is not let in")
            remote(KEYS["stranger"])
            front.process.send_signal(signal.SIGHUP)  # reads the file again
            wait_until(lambda: front.post(PREDICT, HOUSE).status == 200, "it has the new key")
        finally:
            write_keys(keys, KEYS["front"])
        log = front.output()
    port = server.grpc.rpartition(":")[2]
    assert port not in answer.text
    assert "UNAUTHENTICATED" in log
    assert port in log
    assert not any(it in log for it in KEYS.values())


def not_ready(front) -> bool:
    """Whether readiness has turned; requests go on, so that the breaker sees them fail."""
    front.post(PREDICT, HOUSE)
    return front.get("/readyz").status == 503


def test_what_callers_see_of_servers_that_cannot_be_reached_has_no_addresses(
    server, housing_models, remote
):
    stranger = remote(authority_file=remote.stranger)
    port = server.grpc.rpartition(":")[2]
    with running_service(
        housing_models, remote_servers=server.grpc, remote_config_file=stranger, until=None
    ) as front:
        wait_until(lambda: port in front.output(), "the log has it")
        wait_until(lambda: "cannot be asked" in seen(front, "/readyz"), "it says so")
        told = [seen(front, it) for it in ("/readyz", "/v1/models/housing", "/", "/v2/models")]
        told += [front.post(PREDICT, HOUSE).text, front.post("/v2/repository/index", {}).text]
    assert not any(port in it or "certificate" in it for it in told)


def seen(front, path: str) -> str:
    try:
        return front.get(path).text
    except OSError:
        return ""
