"""The file of callers: what it may say, and who is found in it."""

from __future__ import annotations

import contextlib
import hashlib
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidRequest
from service.security.callers import digest_of, new_key, parse_callers, read_callers
from service.security.scopes import Scope

SECRET = "hearth_" + "x" * 43
HASH = "sha256:" + hashlib.sha256(SECRET.encode()).hexdigest()
OTHER = "sha256:" + "0" * 64


def refusal(text: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        parse_callers("keys", text)
    return refused.value.message


def test_a_key_is_found_by_its_hash_alone():
    callers = parse_callers("keys", f"# who may\n\nshop predict,read {HASH}  # the shop\n")

    caller = callers.find_key(SECRET)
    assert caller is not None
    assert (caller.name, caller.scopes) == ("shop", {Scope.PREDICT, Scope.READ})
    assert caller.expires_s == math.inf
    assert callers.find_key(SECRET + "y") is None
    assert callers.find_key(HASH) is None


def test_two_keys_of_one_caller_count_at_once():
    callers = parse_callers("keys", f"shop predict {HASH}\nshop predict {digest_of('new')}")

    assert [callers.find_key(it).name for it in (SECRET, "new")] == ["shop", "shop"]


def test_a_certificate_is_found_by_any_of_its_names():
    callers = parse_callers("keys", "ops admin certificate:ops.example")

    assert callers.find_certificate(["localhost", "ops.example"]).name == "ops"
    assert callers.find_certificate(["localhost"]) is None


def test_what_anybody_may_do_is_said_by_a_line():
    assert parse_callers("keys", "anonymous read -").anonymous.scopes == {Scope.READ}
    assert parse_callers("keys", "").anonymous is None


def test_a_key_may_end_and_may_have_a_rate():
    (caller,) = parse_callers(
        "keys", f"s read {HASH} expires=1970-01-02 rate=2.5"
    ).by_digest.values()

    assert (caller.expires_s, caller.rate) == (86400.0, 2.5)


def test_a_time_with_a_zone_is_taken_as_it_says():
    (caller,) = parse_callers(
        "keys", f"s read {HASH} expires=1970-01-01T02:00:00+01:00"
    ).by_digest.values()

    assert caller.expires_s == 3600.0


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("shop", "expected a caller, its scopes and"),
        (f"shop read {SECRET}", "its key is not sha256: and 64 digits"),
        (f"shop read {HASH[:-1]}", "its key is not sha256: and 64 digits"),
        (f"shop read {HASH.upper()}", "its key is not sha256: and 64 digits"),
        (f"shop write {HASH}", "its scopes are not of predict, read, admin"),
        (f"shop read, {HASH}", "its scopes are not of predict, read, admin"),
        (f"sh/op read {HASH}", "its name has other characters"),
        (f"shop read {HASH} expires=soon", "expires= is no day or time"),
        (f"shop read {HASH} rate=0", "rate= is no number of requests a second over 0"),
        (f"shop read {HASH} rate=nan", "rate= is no number of requests a second over 0"),
        (f"shop read {HASH} until=x", "an option is neither expires= nor rate="),
        ("shop read certificate:", "is there twice, or empty"),
        ("shop read -", "anonymous shows '-', and nobody else does"),
        (f"anonymous read {HASH}", "anonymous shows '-', and nobody else does"),
        ("anonymous read -\nanonymous read -", "line 2: anonymous is there twice"),
        (f"a read {HASH}\nb read {HASH}", "line 2: its key or certificate is there twice"),
    ],
)
def test_a_line_that_makes_no_sense_is_named_and_its_key_is_not(line, why):
    said = refusal(line)

    assert said.startswith("keys: line ")
    assert why in said
    assert SECRET not in said


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(InvalidRequest):
        parse_callers("keys", text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidRequest, match=r"^--api_key_file: .*missing cannot be read: No such"):
        read_callers("--api_key_file", tmp_path / "missing")


def test_a_new_key_is_long_and_never_the_same():
    keys = {new_key() for _ in range(100)}

    assert len(keys) == 100
    assert all(it.startswith("hearth_") and len(it) >= 50 for it in keys)


def test_the_command_shows_a_key_once_and_its_line():
    command = [sys.executable, "-m", "service.security", "new-key", "shop", "predict,read"]
    done = subprocess.run(
        [*command, "--expires", "2099-01-01"], capture_output=True, text=True, check=True
    )

    key = done.stderr.splitlines()[0].rpartition(" ")[2]
    caller = parse_callers("keys", done.stdout).find_key(key)
    assert (caller.name, caller.scopes) == ("shop", {Scope.PREDICT, Scope.READ})
    assert key not in done.stdout


def test_the_command_refuses_scopes_that_are_not_known():
    command = [sys.executable, "-m", "service.security", "new-key", "shop", "everything"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "its scopes are not of predict, read, admin" in done.stderr
