"""Bearer tokens: those that the provider's keys have signed for this service, and no others."""

from __future__ import annotations

import base64
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from service.errors import InvalidRequest, Unauthenticated
from service.security.guard import Asked, Guard, Rules
from service.security.scopes import Scope
from service.security.tokens import FileKeys, Provider, RemoteKeys, Tokens, check_address, fetch
from tests.servers import in_a_thread, wait_until

ISSUER, AUDIENCE = "https://id.example/", "hearth"


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def ec_key():
    return ec.generate_private_key(ec.SECP256R1())


def jwks(**keys) -> str:
    """A key set, as RFC 7517 has it."""
    entries = []
    for name, key in keys.items():
        is_rsa = isinstance(key, rsa.RSAPrivateKey)
        write = RSAAlgorithm.to_jwk if is_rsa else ECAlgorithm.to_jwk
        algorithm = "RS256" if is_rsa else "ES256"
        entry = json.loads(write(key.public_key())) | {"kid": name, "alg": algorithm}
        entries.append(entry)
    return json.dumps({"keys": entries})


@pytest.fixture
def keys(tmp_path, rsa_key, ec_key):
    path = tmp_path / "jwks.json"
    path.write_text(jwks(one=rsa_key, two=ec_key))
    return FileKeys("--jwt_keys", path)


@pytest.fixture
def tokens(keys):
    return Tokens(Provider(str(keys.path), ISSUER, AUDIENCE), keys)


def claims(**changes):
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "shop",
        "exp": time.time() + 300,
        "scope": "openid predict hearth:read other",
    }
    return {name: it for name, it in (made | changes).items() if it is not None}


def signed(key, name="one", algorithm="RS256", **changes) -> str:
    return jwt.encode(claims(**changes), key, algorithm, {"kid": name})


def test_a_token_gives_its_subject_and_the_scopes_that_are_ours(tokens, rsa_key, ec_key):
    for token in (signed(rsa_key), signed(ec_key, "two", "ES256")):
        caller = tokens.check(token)
        assert (caller.name, caller.scopes) == ("shop", {Scope.PREDICT, Scope.READ})


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [(["admin"], {Scope.ADMIN}), ("", set()), (None, set()), (7, set()), ("Predict", set())],
)
def test_scopes_may_be_a_list_and_need_not_be_there(tokens, rsa_key, scope, scopes):
    assert tokens.check(signed(rsa_key, scope=scope)).scopes == scopes


def test_scopes_may_stand_in_another_claim(keys, rsa_key):
    tokens = Tokens(Provider(str(keys.path), ISSUER, AUDIENCE, "scp"), keys)

    assert tokens.check(signed(rsa_key, scp=["read"])).scopes == {Scope.READ}


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example/"},
        {"aud": "another"},
        {"exp": 1.0},
        {"nbf": 4e9},
        *({name: None} for name in ("iss", "aud", "sub", "exp")),
    ],
    ids=str,
)
def test_a_token_for_others_or_of_another_time_does_not_count(tokens, rsa_key, changes):
    with pytest.raises(Unauthenticated, match="the token does not count"):
        tokens.check(signed(rsa_key, **changes))


def test_a_token_of_another_key_does_not_count(tokens):
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for name in ("one", "three"):
        with pytest.raises(Unauthenticated):
            tokens.check(signed(stranger, name))


def unsigned(header: dict, body: dict, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(body).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(it).rstrip(b"=").decode() for it in parts)


def test_a_token_without_a_signature_does_not_count(tokens):
    for algorithm in ("none", "None", "NONE"):
        with pytest.raises(Unauthenticated):
            tokens.check(unsigned({"alg": algorithm, "kid": "one"}, claims()))


def test_a_public_key_is_never_a_shared_secret(tokens, keys, rsa_key):
    """Signed by HMAC with the public key's own text (RFC 8725, 2.1)."""
    import hashlib
    import hmac

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    secret = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = unsigned({"alg": "HS256", "kid": "one"}, claims())
    content = token.rpartition(".")[0].encode()
    mark = base64.urlsafe_b64encode(hmac.new(secret, content, hashlib.sha256).digest())

    with pytest.raises(Unauthenticated):
        tokens.check(f"{content.decode()}.{mark.rstrip(b'=').decode()}")


@pytest.mark.parametrize("token", ["a.b.c", "..", "é.é.é", "e30.e30.e30", "x" * 9000 + ".y.z"])
def test_what_is_no_token_does_not_count_and_is_not_repeated(tokens, token):
    with pytest.raises(Unauthenticated) as refused:
        tokens.check(token)
    assert token not in refused.value.message


def test_secrets_among_the_keys_are_passed_over(tmp_path, rsa_key):
    document = json.loads(jwks(one=rsa_key))
    document["keys"].append({"kty": "oct", "kid": "secret", "k": "c2VjcmV0"})
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(document))
    keys = FileKeys("--jwt_keys", path)

    assert keys("one") is not None
    assert keys("secret") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": []}', '{"keys": [{"kty": "oct"}]}', "7"])
def test_a_file_without_a_public_key_is_refused(tmp_path, text):
    path = tmp_path / "jwks.json"
    path.write_text(text)

    with pytest.raises(InvalidRequest, match="is no JWKS with a public key"):
        FileKeys("--jwt_keys", path)


def test_keys_of_a_file_that_changes_count_in_place_of_the_old(keys, tokens, rsa_key, ec_key):
    keys.path.write_text(jwks(new=ec_key))
    keys.read()

    assert tokens.check(signed(ec_key, "new", "ES256")).name == "shop"
    with pytest.raises(Unauthenticated):
        tokens.check(signed(rsa_key))


def test_a_guard_lets_tokens_in_beside_keys_until_their_time_is_over(tokens, rsa_key):
    now = [time.time()]
    guard = Guard(Rules(anonymous=frozenset()), tokens=tokens, clock=lambda: now[0])
    asked = Asked(f"Bearer {signed(rsa_key)}", (), Scope.PREDICT)
    assert not guard.is_open
    assert guard.admit(asked) == "shop"

    now[0] += 320  # of five minutes and the leeway of half a minute
    assert guard.admit(asked) == "shop"
    now[0] += 20
    with pytest.raises(Unauthenticated):
        guard.admit(asked)


# --- keys from an address ---


class Provides(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/jwks")
            self.end_headers()
            return
        body = self.server.document
        self.send_response(200 if body else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def providing(document: bytes):
    with HTTPServer(("127.0.0.1", 0), Provides) as server:
        server.document, server.asked = document, []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}/jwks"
        finally:
            server.shutdown()
            thread.join()


def test_keys_are_fetched_once_and_kept(rsa_key):
    with providing(jwks(one=rsa_key).encode()) as (server, url):
        keys = RemoteKeys("--jwt_keys", url)
        keys.start()
        tokens = Tokens(Provider(url, ISSUER, AUDIENCE), keys)

        for _ in range(5):
            assert tokens.check(signed(rsa_key)).name == "shop"
        assert len(server.asked) == 1
        keys.stop()


def test_a_key_that_is_not_known_is_not_asked_for_just_after_another(rsa_key):
    with providing(jwks(one=rsa_key).encode()) as (_, url):
        keys = RemoteKeys("--jwt_keys", url)
        keys._run_once()

        for number in range(50):
            assert keys(f"unknown-{number}") is None
        assert not keys._wanted.is_set()


def test_a_provider_that_fails_is_asked_again_and_takes_nobody_down():
    with providing(b"") as (server, url):
        keys = RemoteKeys("--jwt_keys", url)
        keys._run_once()
        assert keys("one") is None
        assert not keys.fetched.is_set()
        assert server.asked == ["/jwks"]


def test_what_is_no_http_is_a_provider_that_fails():
    class Babbles(BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(b"nonsense\r\n\r\n")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Babbles) as server, in_a_thread(server):
        keys = RemoteKeys("--jwt_keys", f"http://127.0.0.1:{server.server_port}/")
        keys._run_once()
    assert keys("one") is None


def test_keys_from_an_address_tell_when_they_may_be_others(rsa_key):
    with providing(jwks(one=rsa_key).encode()) as (server, url):
        keys, told = RemoteKeys("--jwt_keys", url), []
        keys.start(lambda: told.append(True))
        assert told == [True]
        server.document = b""
        keys._run_once()
        assert told == [True]
        keys.stop()


def test_keys_that_are_there_stay_when_the_provider_fails(rsa_key):
    with providing(jwks(one=rsa_key).encode()) as (server, url):
        keys = RemoteKeys("--jwt_keys", url)
        keys._run_once()
        server.document = b""
        keys._run_once()

    assert keys("one") is not None


def test_a_key_that_is_not_known_is_asked_for(rsa_key, ec_key, monkeypatch):
    monkeypatch.setattr("service.security.tokens.ASK_AGAIN_S", 0.0)
    with providing(jwks(one=rsa_key).encode()) as (server, url):
        keys = RemoteKeys("--jwt_keys", url)
        keys.start()
        server.document = jwks(one=rsa_key, two=ec_key).encode()

        wait_until(lambda: keys("two") is not None, "the new key is known", 20)
        keys.stop()


def test_no_redirection_is_followed_and_no_large_document_read():
    with providing(b"x" * (2**20 + 1)) as (_, url):
        with pytest.raises(OSError, match="HTTP Error 302"):
            fetch(url.replace("/jwks", "/moved"))
        with pytest.raises(OSError, match="over 1048576 bytes"):
            fetch(url)


@pytest.mark.parametrize(
    "url", ["http://id.example/jwks", "ftp://id.example/x", "file:///etc/passwd"]
)
def test_keys_come_over_https_or_from_this_machine(url):
    with pytest.raises(InvalidRequest, match="is not https"):
        check_address("--jwt_keys", url)
    check_address("--jwt_keys", "https://id.example/jwks")
    check_address("--jwt_keys", "http://127.0.0.1:8080/jwks")
