"""A fleet behind: its addresses, its circuit breaker, how it is asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from service.errors import InvalidRequest
from service.remote.addresses import check_servers, target
from service.remote.breaker import Breaker
from service.remote.channel import Access, read_access
from service.remote.fleet import WIRES
from service.settings import REMOTE_PROTOCOLS, SettingsError, parse


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
        ('{"metadata": {"Key": "x"}}', "lower-case"),
    ],
)
def test_how_servers_are_asked_is_refused_where_it_makes_no_sense(tmp_path, text, said):
    file = tmp_path / "remote.json"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=said):
        read_access(file)


def test_a_service_without_a_fleet_imports_nothing_of_one():
    code = (
        "import sys, service.process; from service.settings import parse; parse([], {}); "
        "print([it for it in sys.modules if it.startswith('service.remote')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
