"""What the flags let in: nobody beyond this machine of whom nothing is said."""

from __future__ import annotations

import json
import logging
import os

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from service.errors import InvalidRequest, Unauthenticated
from service.security.callers import digest_of
from service.security.certificates import names_of, names_of_call
from service.security.entrance import Entrance, check_entrance, is_loopback
from service.security.guard import Asked
from service.security.headers import browser_headers
from service.security.scopes import Scope
from service.security.watching import FileWatch
from service.settings import Settings
from tests.certificates import certify, ssl_config

PREDICT, READ, ADMIN = Scope.PREDICT, Scope.READ, Scope.ADMIN
EVERYWHERE = {"host": "0.0.0.0"}
HERE = {"host": "127.0.0.1"}


def refusal(**settings) -> str:
    with pytest.raises(InvalidRequest) as refused:
        check_entrance(Settings(**settings))
    return refused.value.message


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"shop predict {digest_of('shop-key')}\n")
    return path


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """SSL configs that ask for a client's certificate, and that do not."""
    authority = certify(tmp_path_factory.mktemp("authority"), "authority")
    folders = [tmp_path_factory.mktemp("tls") for _ in range(2)]
    pair = certify(folders[0], "localhost", authority)
    return [
        ssl_config(it, pair, authority, verify=verify)
        for it, verify in zip(folders, (True, False), strict=True)
    ]


def may(guard, needed, key="", *names) -> bool:
    try:
        guard.admit(Asked(f"Bearer {key}" if key else "", names, needed))
    except Unauthenticated:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_this_machine_anybody_may_ask_anything(host):
    settings = Settings(host=host, allow_model_control=True)
    check_entrance(settings)

    entrance = Entrance(settings)
    assert entrance.rest.is_open
    assert entrance.rpc.is_open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "models.example", ""])
def test_beyond_this_machine_nobody_is_let_in_unless_that_is_said(host):
    assert not is_loopback(host)
    said = refusal(host=host)

    for flag in ("--rest_api_port=8501", "--api_key_file", "--jwt_keys", "client_verify",
                 "--allow_anonymous", "--host=127.0.0.1"):  # fmt: skip
        assert flag in said


def test_where_it_is_said_anybody_may_predict_and_read_and_nothing_else():
    settings = Settings(**EVERYWHERE, allow_anonymous=True)
    check_entrance(settings)

    for guard in (Entrance(settings).rest, Entrance(settings).rpc):
        assert [may(guard, it) for it in (PREDICT, READ, ADMIN)] == [True, True, False]


def test_nobody_unnamed_changes_what_is_served_beyond_this_machine():
    said = refusal(**EVERYWHERE, allow_anonymous=True, allow_model_control=True)

    assert said.startswith("--allow_model_control: --rest_api_port=8501 on 0.0.0.0 would let")


@pytest.mark.parametrize("host", [HERE, EVERYWHERE])
@pytest.mark.parametrize("allowed", [False, True])
def test_where_callers_are_named_nobody_else_comes_in_whatever_the_flag_says(
    host, allowed, key_file
):
    settings = Settings(**host, allow_anonymous=allowed, api_key_file=key_file)
    check_entrance(settings)

    for guard in (Entrance(settings).rest, Entrance(settings).rpc):
        assert may(guard, PREDICT, "shop-key")
        assert not may(guard, PREDICT)
        assert not may(guard, READ)


def test_an_empty_file_of_callers_lets_nobody_in(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# nobody yet\n")

    assert not may(Entrance(Settings(**HERE, api_key_file=path)).rest, READ)


def test_a_port_that_is_off_needs_no_guard():
    check_entrance(Settings(**EVERYWHERE, rest_api_port=0, port=0, grpc_socket_path="/run/s"))
    assert "--port=8500 on" in refusal(**EVERYWHERE, rest_api_port=0)


def test_a_certificate_that_must_be_shown_is_enough_on_its_own_way_alone(tls):
    verifying, plain = tls
    check_entrance(
        Settings(**EVERYWHERE, ssl_config_file=verifying, rest_ssl_config_file=verifying)
    )

    assert "--rest_api_port=8501 on" in refusal(**EVERYWHERE, ssl_config_file=verifying)
    assert "--port=8500 on" in refusal(**EVERYWHERE, rest_ssl_config_file=verifying)
    assert "--rest_api_port" in refusal(
        **EVERYWHERE, ssl_config_file=plain, rest_ssl_config_file=plain
    )


def test_whose_certificate_is_verified_may_predict_and_read_until_a_file_says_who_may(
    tls, tmp_path
):
    settings = {**EVERYWHERE, "ssl_config_file": tls[0], "rest_ssl_config_file": tls[0]}
    guard = Entrance(Settings(**settings)).rest
    assert may(guard, PREDICT, "", "somebody")
    assert not may(guard, PREDICT)

    path = tmp_path / "keys"
    path.write_text("ops admin,read certificate:ops\n")
    guard = Entrance(Settings(**settings, api_key_file=path)).rest
    assert not may(guard, PREDICT, "", "somebody")
    assert may(guard, ADMIN, "", "ops")


def test_keys_in_plain_text_are_warned_of(key_file, tls, caplog):
    with caplog.at_level(logging.WARNING):
        check_entrance(Settings(**EVERYWHERE, api_key_file=key_file, rest_ssl_config_file=tls[1]))

    (said,) = caplog.messages
    assert said == "--port=8500: keys come in plain text unless TLS ends in front of it"


def test_tokens_need_an_issuer_and_an_audience(tmp_path):
    assert "--jwt_keys needs --jwt_issuer and --jwt_audience" in refusal(
        **HERE, jwt_keys=str(tmp_path / "jwks"), jwt_issuer="x"
    )


def test_metrics_are_open_where_that_is_said(key_file):
    closed = Entrance(Settings(**HERE, api_key_file=key_file)).rest
    opened = Entrance(Settings(**HERE, api_key_file=key_file, open_metrics=True)).rest

    assert closed.needed("GET", "/metrics") is READ
    assert opened.needed("GET", "/metrics") is None
    assert opened.needed("GET", "/v1/models") is READ


def test_callers_are_read_again_and_a_broken_file_changes_nothing(key_file, caplog):
    entrance = Entrance(Settings(**HERE, api_key_file=key_file))
    key_file.write_text(f"shop predict {digest_of('new-key')}  # the old one is gone\n")
    entrance._watch.look()
    for guard in (entrance.rest, entrance.rpc):
        assert may(guard, PREDICT, "new-key")
        assert not may(guard, PREDICT, "shop-key")

    key_file.write_text("nonsense and a half-written line")
    entrance._watch.look()
    assert may(entrance.rest, PREDICT, "new-key")
    assert "what was read of keys before stays: --api_key_file: line 1" in caplog.text


# --- files that change ---


def test_a_file_is_read_again_once_it_is_another(tmp_path):
    path, read = tmp_path / "file", []
    path.write_text("one")
    watch = FileWatch()
    watch.add(path, lambda: read.append(path.read_text()))

    watch.look()
    assert read == []
    path.write_text("two!")
    watch.look()
    watch.look()
    assert read == ["two!"]


def test_a_link_that_leads_elsewhere_is_another_file(tmp_path):
    """As a mounted secret is changed in Kubernetes."""
    link, read = tmp_path / "key", []
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
        os.utime(tmp_path / name, (1, 1))
    link.symlink_to("a")
    watch = FileWatch()
    watch.add(link, lambda: read.append(True))

    (tmp_path / "new").symlink_to("b")
    (tmp_path / "new").rename(link)
    watch.look()
    assert read == [True]


def test_a_file_that_goes_is_noted_and_read_when_it_is_back(tmp_path):
    path, read = tmp_path / "file", []
    path.write_text("one")
    watch = FileWatch()
    watch.add(path, lambda: read.append(path.read_text()))

    path.unlink()
    watch.look()
    path.write_text("two")
    watch.look()
    assert read == ["two"]


def test_a_file_is_read_again_for_those_that_it_names_now(tmp_path):
    path, read = tmp_path / "file", []
    path.write_text("a")
    watch = FileWatch()
    watch.add(path, lambda: read.append(True), lambda: [tmp_path / path.read_text()])

    path.write_text("b ")
    watch.look()
    watch.look()  # b is another file than a
    count = len(read)
    watch.look()
    assert len(read) == count
    (tmp_path / "b ").write_text("changed")
    watch.look()
    assert len(read) == count + 1


def test_whatever_is_wrong_with_a_file_is_told_once_and_it_is_tried_again(tmp_path, caplog):
    path, problems = tmp_path / "file", [RuntimeError("odd"), RuntimeError("odd"), None]
    path.write_text("one")
    watch = FileWatch()

    def read():
        if problem := problems.pop(0):
            raise problem

    watch.add(path, read)
    path.write_text("another")
    for _ in range(5):
        watch.look()
    assert problems == []
    assert caplog.text.count("what was read of file before stays: odd") == 1


def test_who_came_in_by_a_key_set_that_has_changed_is_asked_again(tmp_path):
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    path = tmp_path / "jwks"

    def publish(published):
        entry = json.loads(ECAlgorithm.to_jwk(published.public_key())) | {"kid": "one"}
        path.write_text(json.dumps({"keys": [entry]}))

    publish(key)
    entrance = Entrance(Settings(**HERE, jwt_keys=str(path), jwt_issuer="i", jwt_audience="a"))
    claims = {"iss": "i", "aud": "a", "sub": "shop", "exp": 2**32, "scope": "predict"}
    token = jwt.encode(claims, key, "ES256", {"kid": "one"})
    assert may(entrance.rest, PREDICT, token)

    path.write_text("[" * 100_000)
    entrance._watch.look()
    assert may(entrance.rest, PREDICT, token)
    publish(other)
    entrance._watch.look()
    assert not may(entrance.rest, PREDICT, token)


# --- certificates and browsers ---


def test_the_names_of_a_certificate_are_its_common_name_and_its_alternatives():
    certificate = {
        "subject": ((("countryName", "DE"),), (("commonName", "shop"),)),
        "subjectAltName": (("DNS", "shop.example"), ("URI", "spiffe://example/shop")),
    }
    context = {
        "x509_common_name": [b"shop"],
        "x509_subject_alternative_name": [b"shop.example", b"spiffe://example/shop"],
        "transport_security_type": [b"ssl"],
    }

    assert names_of(certificate) == ("shop", "shop.example", "spiffe://example/shop")
    assert names_of_call(context) == names_of(certificate)
    assert (names_of(None), names_of({}), names_of_call({})) == ((), (), ())


def test_the_page_may_load_its_own_files_and_a_report_may_run_nothing():
    page = browser_headers("/", encrypted=False)["Content-Security-Policy"]
    report = browser_headers("/report/m/1/index.html", encrypted=False)["Content-Security-Policy"]

    assert "default-src 'none'" in page
    assert "unsafe" not in page
    assert "frame-ancestors 'none'" in page
    assert report.startswith("sandbox; ")
    assert "script-src" not in report


def test_a_browser_is_told_to_come_over_tls_only_over_tls():
    name = "Strict-Transport-Security"

    assert name not in browser_headers("/", encrypted=False)
    assert browser_headers("/", encrypted=True)[name] == "max-age=31536000"
