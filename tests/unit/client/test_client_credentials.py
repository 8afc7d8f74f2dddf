"""What is shown and trusted reaches the wire, and nothing else."""

from __future__ import annotations

import pytest
import urllib3

from client import Client, Credentials, Denied, HttpTransport, Request, Response
from client.__main__ import _client, main
from client._arguments import parse


def test_a_key_goes_along_with_every_request_and_is_not_shown_by_its_holder():
    known = Credentials("my-key")

    assert known.headers == {"Authorization": "Bearer my-key"}
    assert "my-key" not in repr(known)
    assert Credentials().headers == {}


def test_certificates_reach_the_pool(tmp_path):
    for name in ("ca", "crt", "key"):
        (tmp_path / name).write_text("")
    files = Credentials(
        ca_file=tmp_path / "ca", certificate_file=tmp_path / "crt", key_file=tmp_path / "key"
    )

    assert files.tls == {
        "ca_certs": str(tmp_path / "ca"),
        "cert_file": str(tmp_path / "crt"),
        "key_file": str(tmp_path / "key"),
    }
    with HttpTransport(credentials=files) as transport:
        assert transport._pool.connection_pool_kw["ca_certs"] == str(tmp_path / "ca")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"api_key": ""}, "api_key is empty"),
        ({"api_key": "two\r\nlines"}, "characters that no header may have"),
        ({"api_key": "schlüssel"}, "characters that no header may have"),
        ({"ca_file": "/nowhere/ca"}, "ca_file is '/nowhere/ca', which is no file"),
        ({"key_file": "/nowhere/key"}, "key_file needs certificate_file"),
    ],
)
def test_what_cannot_be_shown_is_said_at_once(wrong, why):
    with pytest.raises(ValueError, match=why):
        Credentials(**wrong)


def test_a_pool_has_its_own_credentials():
    with pytest.raises(ValueError, match="not both"):
        HttpTransport(pool=urllib3.PoolManager(), credentials=Credentials("key"))


@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_ask_is_told_so_and_not_asked_again(hearth, status):
    hearth.next.append(Response(status, body=b'{"error": "no"}'))

    with pytest.raises(Denied, match="no") as denied:
        Client(transport=hearth).predict([6, 3, 10])
    assert denied.value.status == status
    assert len(hearth.requests) == 1


def test_a_key_that_may_only_predict_gets_a_price_without_a_unit(hearth, capsys):
    answer = hearth.answer

    def without_contract(request: Request):
        if request.url.endswith("/contract"):
            return 403, {"error": "shop has not the scope read"}
        return answer(request)

    hearth.answer = without_contract
    assert main(["predict", "RM=6", "AGE=3", "LSTAT=10"], {}, hearth) == 0
    assert capsys.readouterr().out == "16.00\n"


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [(["--api_key", "my-key"], {}), ([], {"HEARTH_API_KEY": "my-key"}),
     (["--api_key", "my-key"], {"HEARTH_API_KEY": "other"})],
)  # fmt: skip
def test_the_command_takes_a_key_from_its_flag_or_the_environment(arguments, environ):
    with _client(parse([*arguments, "models"], environ), None) as made:
        assert made.transport._pool.headers == {"Authorization": "Bearer my-key"}


def test_a_file_that_is_not_there_ends_the_command_with_one_line(capsys):
    assert main(["models", "--ca_file", "/nowhere"], {}) == 2
    assert capsys.readouterr().err == "error: ca_file is '/nowhere', which is no file\n"
