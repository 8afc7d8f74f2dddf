"""Certificates are changed while the service runs, and callers are known by theirs."""

from __future__ import annotations

import shutil
import ssl
import subprocess

import grpc
import pytest

from tests.certificates import Certified, certify
from tests.integration.rpc.calling import calling
from tests.integration.service.wire import BODY, connect, head, post, read_answer
from tests.servers import START_S, running_service, wait_until

Code = grpc.StatusCode
LOOPBACK = "127.0.0.1"


class Secured:
    """A service over TLS on both ways, its certificates in files of their own."""

    def __init__(self, folder, server) -> None:
        self.folder = folder
        self.server = server

    def status(self, request: bytes, trust: Certified, pair: Certified | None = None) -> int:
        context = ssl.create_default_context(cafile=trust.certificate)
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        with (
            connect(self.server.url) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            secure.sendall(request)
            return read_answer(secure).status

    def code(self, trust: Certified, pair: Certified | None = None) -> Code:
        shown = () if pair is None else (pair.key.read_bytes(), pair.certificate.read_bytes())
        credentials = grpc.ssl_channel_credentials(trust.certificate.read_bytes(), *shown)
        with calling(f"localhost:{self.server.grpc.rpartition(':')[2]}", credentials) as client:
            try:
                client.price()
            except grpc.RpcError as error:
                return error.code()
            return Code.OK

    def connects(self, trust: Certified, pair: Certified) -> tuple[bool, bool]:
        """Whether REST and gRPC let in and are trusted."""
        try:
            rest = self.status(head("GET", "/livez"), trust, pair) == 200
        except OSError:
            rest = False
        return rest, self.code(trust, pair) != Code.UNAVAILABLE


def put(folder, name: str, pair: Certified) -> None:
    """Change a key and its certificate as one does: beside its place, and renamed."""
    for file, suffix in ((pair.key, "key"), (pair.certificate, "crt")):
        shutil.copy(file, folder / "new")
        (folder / "new").rename(folder / f"{name}.{suffix}")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two authorities, each with a server and clients that it has signed."""
    made = {}
    for name in ("one", "two"):
        folder = tmp_path_factory.mktemp(name)
        authority = certify(folder, f"authority-{name}")
        made[name] = {
            "authority": authority,
            **{it: certify(folder, it, authority) for it in ("server", "shop", "eyes", "nobody")},
        }
    return made


@pytest.fixture(scope="module")
def secured(housing_models, world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("secured")
    put(folder, "server", world["one"]["server"])
    shutil.copy(world["one"]["authority"].certificate, folder / "ca.crt")
    config = folder / "ssl.config"
    names = {"server_key": "server.key", "server_cert": "server.crt", "custom_ca": "ca.crt"}
    config.write_text(
        "\n".join(
            [*(f'{key}: "file:{folder / it}"' for key, it in names.items()), "client_verify: true"]
        )
    )
    keys = folder / "keys"
    keys.write_text("shop predict certificate:shop\neyes read certificate:eyes\n")
    with running_service(
        housing_models,
        until=None,
        ssl_config_file=config,
        rest_ssl_config_file=config,
        api_key_file=keys,
    ) as server:
        service = Secured(folder, server)
        first = world["one"]
        wait_until(
            lambda: service.connects(first["authority"], first["shop"]) == (True, True),
            "it answers",
            START_S,
        )
        yield service


def test_a_caller_is_known_by_the_name_of_its_certificate(secured, world):
    trust = world["one"]["authority"]
    for name, may_predict, may_read in (
        ("shop", 200, 403),
        ("eyes", 403, 200),
        ("nobody", 401, 401),
    ):
        pair = world["one"][name]
        for further in ((), ("TE: trailers",)):
            assert secured.status(post(BODY, *further), trust, pair) == may_predict
        assert secured.status(head("GET", "/v1/models"), trust, pair) == may_read
        expected = {200: Code.OK, 403: Code.PERMISSION_DENIED, 401: Code.UNAUTHENTICATED}
        assert secured.code(trust, pair) == expected[may_predict]


def test_without_a_certificate_there_is_no_connection(secured, world):
    trust = world["one"]["authority"]

    assert secured.code(trust) == Code.UNAVAILABLE
    with pytest.raises((ssl.SSLError, ConnectionError)):  # TLS 1.3 tells it with the first answer
        secured.status(head("GET", "/livez"), trust)


@pytest.mark.parametrize(("version", "taken"), [("-tls1_1", False), ("-tls1_2", True)])
def test_tls_1_2_is_the_least(secured, world, version, taken):
    pair, trust = world["one"]["shop"], world["one"]["authority"]
    address = secured.server.url.rpartition("/")[2]
    done = subprocess.run(
        ["openssl", "s_client", "-connect", address, version, "-cipher", "DEFAULT:@SECLEVEL=0",
         "-CAfile", trust.certificate, "-cert", pair.certificate, "-key", pair.key],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip

    assert ("no peer certificate available" in done.stdout) != taken
    assert (done.returncode == 0) == taken


def test_certificates_and_authority_are_changed_without_a_restart(secured, world):
    first, second = world["one"], world["two"]
    context = ssl.create_default_context(cafile=first["authority"].certificate)
    context.load_cert_chain(first["shop"].certificate, first["shop"].key)
    with (
        connect(secured.server.url) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as kept,
    ):
        kept.sendall(post(BODY))
        assert read_answer(kept).status == 200

        put(secured.folder, "server", second["server"])
        shutil.copy(second["authority"].certificate, secured.folder / "ca.new")
        (secured.folder / "ca.new").rename(secured.folder / "ca.crt")
        wait_until(
            lambda: secured.connects(second["authority"], second["shop"]) == (True, True),
            "the new ones hold",
        )

        assert secured.connects(first["authority"], second["shop"]) == (False, False)
        assert secured.connects(second["authority"], first["shop"]) == (False, False)
        kept.sendall(post(BODY))  # what was there before goes on
        assert read_answer(kept).status == 200

    (secured.folder / "server.crt").write_text("half a certificate")
    wait_until(
        lambda: "what was read of server.crt before stays" in secured.server.output(), "it is said"
    )
    assert secured.connects(second["authority"], second["shop"]) == (True, True)
