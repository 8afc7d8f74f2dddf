"""A fleet behind: its addresses, its circuit breaker, how it is asked."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import Future

import numpy as np
import pytest

from service.errors import InvalidRequest, NotReady
from service.inference.signature import Signature
from service.remote.addresses import check_servers, target
from service.remote.breaker import Breaker
from service.remote.channel import Access, read_access
from service.remote.executor import Remote
from service.remote.fleet import WIRES
from service.settings import REMOTE_PROTOCOLS, SettingsError, parse
from tests.unit.service.fakes import spec


class Clock:
    """Seconds that pass when they are told to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(failures=3, open_s=1.0, clock=clock)


def fail(breaker, times: int = 3) -> None:
    for _ in range(times):
        breaker.failed()


def test_a_breaker_opens_after_failures_in_a_row_alone(breaker):
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.allows()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.allows()


def test_an_open_breaker_lets_one_call_try_a_second(breaker, clock):
    fail(breaker)
    clock.now_s = 1.0
    assert [breaker.allows(), breaker.allows()] == [True, False]
    clock.now_s = 2.0
    assert breaker.allows()


def test_a_try_that_succeeds_closes_a_breaker(breaker, clock):
    fail(breaker)
    clock.now_s = 1.0
    assert breaker.allows()
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.allows()


def test_a_try_that_fails_holds_calls_back_for_as_long_again(breaker, clock):
    fail(breaker)
    clock.now_s = 1.0
    assert breaker.allows()
    clock.now_s = 1.5
    breaker.failed()
    clock.now_s = 2.4
    assert not breaker.allows()


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        (("serving.models:8500",), "dns:///serving.models:8500"),
        (("10.0.0.1:1", "10.0.0.2:2"), "ipv4:10.0.0.1:1,10.0.0.2:2"),
        (("[::1]:1", "[::2]:2"), "ipv6:[::1]:1,[::2]:2"),
    ],
)
def test_servers_are_named_as_grpc_names_them(servers, expected):
    assert check_servers(servers) == ""
    assert target(servers) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere", "expected host:port"),
        ("a:0", "expected host:port"),
        ("a:1,b:2", "not addresses of one kind"),
        ("127.0.0.1:1,[::1]:2", "not addresses of one kind"),
    ],
)
def test_servers_that_cannot_be_asked_are_refused(given, said):
    with pytest.raises(SettingsError, match=said):
        parse([f"--remote_servers={given}"], {})


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--remote_config_file=x"], "without --remote_servers"),
        (["--remote_protocol=open_inference"], "without --remote_servers"),
        (["--remote_servers=a:1", "--executor=litert"], "runs no model here"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, said):
    with pytest.raises(SettingsError, match=said):
        parse(flags, {})


def test_each_protocol_that_may_be_asked_for_can_be_spoken():
    assert tuple(WIRES) == REMOTE_PROTOCOLS


def test_how_servers_are_asked_is_read_with_its_files(tmp_path):
    (tmp_path / "ca").write_bytes(b"authority")
    file = tmp_path / "remote.json"
    file.write_text(
        f'{{"authority_file": "{tmp_path}/ca", "metadata": {{"authorization": "Bearer k"}}}}'
    )
    read = read_access(file)
    assert read == Access(b"authority", metadata=(("authorization", "Bearer k"),))
    assert "Bearer" not in repr(read)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be used"),
        ('{"authority": "x"}', "unknown field"),
        ('{"authority_file": "/nowhere"}', "cannot be read"),
        ('{"key_file": "x"}', "go together"),
        ('{"server_name": "x"}', "authority_file is missing"),
        ('{"metadata": {"Key": "x"}}', "'Key' must be of a-z"),
        ('{"metadata": {"a key": "x"}}', "'a key' must be of a-z"),
        ('{"metadata": {"key-bin": "x"}}', "'key-bin' must be of a-z"),
        ('{"metadata": {"grpc-timeout": "1S"}}', "'grpc-timeout' must be of a-z"),
        ('{"metadata": {"key": "caf\u00e9"}}', "'key' must be one line of ASCII"),
        ('{"metadata": {"key": "a\\nb"}}', "'key' must be one line of ASCII"),
    ],
)
def test_how_servers_are_asked_is_refused_where_it_makes_no_sense(tmp_path, text, said):
    file = tmp_path / "remote.json"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=said):
        read_access(file)


class Servers:
    """A fleet that doubles, when it is told to, and notes what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[float], Future]] = []

    def predict(self, _model, _number, _signature, inputs, _deadline_s):
        call: Future = Future()
        self.calls.append((inputs["x"].tolist(), call))
        return call

    def outputs(self, call, _wanted):
        return {"y": call.result()}

    def answer(self) -> None:
        """Answer the last call."""
        given, call = self.calls[-1]
        call.set_result(2 * np.array(given))


@pytest.fixture
def servers():
    return Servers()


@pytest.fixture
def asked(servers):
    """Five rows, sent to servers that take two at once."""
    signature = Signature({"x": spec("float32", -1)}, {"y": spec("float32", -1)})
    remote = Remote(servers, "double", 1, {"serving_default": signature}, most_rows=2)
    return remote.submit("serving_default", {"x": np.arange(5.0)})


def test_rows_beyond_a_servers_limit_are_asked_for_one_piece_after_the_other(servers, asked):
    for number in (1, 2, 3):
        assert len(servers.calls) == number
        assert not asked.done()
        servers.answer()

    assert [it[0] for it in servers.calls] == [[0, 1], [2, 3], [4]]
    assert asked.result()["y"].tolist() == [0, 2, 4, 6, 8]


def test_a_piece_that_fails_fails_the_whole_and_no_other_is_asked_for(servers, asked):
    servers.answer()
    servers.calls[-1][1].set_exception(NotReady("it is gone"))

    with pytest.raises(NotReady, match="it is gone"):
        asked.result(0)
    assert len(servers.calls) == 2


def test_pieces_that_nobody_waits_for_are_not_asked_for(servers, asked):
    servers.answer()

    assert asked.cancel()
    assert servers.calls[-1][1].cancelled()
    assert asked.cancelled()
    assert len(servers.calls) == 2


def test_a_service_without_a_fleet_imports_nothing_of_one():
    code = (
        "import sys, service.process; from service.settings import parse; parse([], {}); "
        "print([it for it in sys.modules if it.startswith('service.remote')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
