"""What carries the calls: Unix socket, TLS with and without the client's certificate, drain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
import pytest

from tests.certificates import Certified, certify, ssl_config
from tests.integration.rpc.calling import ROW, Client, calling, price_of, refused
from tests.servers import (
    ROOT,
    START_S,
    fetch,
    free_port,
    running_service,
    wait_until,
    workers_of,
)

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Certified:
    return certify(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def server_pair(tmp_path_factory, authority) -> Certified:
    return certify(tmp_path_factory.mktemp("server"), "server", authority)


@pytest.fixture
def socket_path():
    # A Unix socket's path may have 107 bytes; pytest's own folders are longer.
    with tempfile.TemporaryDirectory() as folder:
        yield f"{folder}/grpc.sock"


def test_a_unix_socket_answers_as_the_port_does_with_numbers_as_content(two_models, socket_path):
    with (
        running_service(
            two_models, grpc_socket_path=socket_path, enable_serialization_as_tensor_content=True
        ) as service,
        calling(service.grpc) as tcp,
        calling(f"unix:{socket_path}") as local,
    ):
        answer = local.predict()
        assert answer == tcp.predict()

    price = answer.outputs["price"]
    assert len(price.tensor_content) == 4
    assert not price.float_val


def test_a_unix_socket_may_be_all_there_is(two_models, socket_path):
    with (
        running_service(two_models, port=0, grpc_socket_path=socket_path) as service,
        calling(f"unix:{socket_path}") as client,
    ):
        assert client.price() > 0
    assert service.process.returncode == 0


def test_a_unix_socket_outlives_the_worker_that_made_it(two_models, socket_path):
    with (
        running_service(two_models, grpc_socket_path=socket_path) as service,
        calling(f"unix:{socket_path}") as client,
    ):
        assert client.price() > 0
        (before,) = workers_of(service)
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: before not in workers_of(service), "the worker is replaced")
        assert client.price() > 0
        check_refusal(Path(socket_path), "--grpc_socket_path")  # another service may not take it
        assert client.price() > 0
    assert list(Path(socket_path).parent.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_grpc_may_be_all_there_is(two_models, workers):
    with running_service(two_models, until=None, rest_api_port=0, workers=workers) as service:
        with calling(service.grpc) as client:
            wait_until(lambda: _serving(client), "the service is ready", START_S)
            assert client.price() > 0
        assert "there is no REST, and so no /metrics" in service.output()
        assert f"gRPC     {service.grpc}" in service.output()
        assert "http://" not in service.output()
        assert _listening(service.process.pid) == {int(service.grpc.rpartition(":")[2])}
    assert service.process.returncode == 0


def _serving(client: Client) -> bool:
    try:
        return client.serving() == "SERVING"
    except grpc.RpcError:
        return False  # nobody listens yet


def _listening(pid: int) -> set[int]:
    """TCP ports that a process and its children listen on, by what the kernel says."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    links = {
        os.path.realpath(it).rpartition("/")[2]  # of one closed meanwhile, the name of the link
        for one in [str(pid), *children]
        for it in Path(f"/proc/{one}/fd").iterdir()
    }
    tables = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    rows = [line.split() for line in tables.splitlines()]
    listen = "0A"
    return {
        int(row[1].rpartition(":")[2], 16)
        for row in rows
        if row[3] == listen and f"socket:[{row[9]}]" in links
    }


def test_tls_answers_those_who_trust_it_and_no_plain_text(
    two_models, tmp_path, authority, server_pair
):
    config = ssl_config(tmp_path, server_pair, None, verify=False)
    trusting = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
    with running_service(two_models, ssl_config_file=config) as service:
        target = f"localhost:{service.grpc.rpartition(':')[2]}"
        with calling(target, trusting) as client:
            assert client.price() > 0
        with calling(target) as plain, refused(Code.UNAVAILABLE):
            plain.price()
        strangers = certify(tmp_path, "strangers").certificate.read_bytes()
        with (
            calling(target, grpc.ssl_channel_credentials(strangers)) as doubting,
            refused(Code.UNAVAILABLE),
        ):
            doubting.price()


def test_mutual_tls_answers_only_certified_callers(two_models, tmp_path, authority, server_pair):
    config = ssl_config(tmp_path, server_pair, authority, verify=True)
    known = certify(tmp_path, "client", authority)
    unknown = certify(tmp_path, "stranger")
    root = authority.certificate.read_bytes()

    def credentials(pair: Certified) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            root, pair.key.read_bytes(), pair.certificate.read_bytes()
        )

    with running_service(two_models, ssl_config_file=config) as service:
        target = f"localhost:{service.grpc.rpartition(':')[2]}"
        with calling(target, credentials(known)) as client:
            assert client.price() > 0
        for others in (grpc.ssl_channel_credentials(root), credentials(unknown)):
            with calling(target, others) as client, refused(Code.UNAVAILABLE):
                client.price()


def swapped(pair: Certified, other: Certified) -> Certified:
    return Certified(pair.key, other.certificate)


@pytest.mark.parametrize("broken", ["text", "no key", "no PEM", "another's certificate"])
def test_an_ssl_config_that_cannot_be_used_ends_the_start_with_one_clear_line(
    tmp_path, authority, server_pair, broken
):
    config = tmp_path / "ssl.config"
    if broken == "another's certificate":
        config = ssl_config(tmp_path, swapped(server_pair, authority), None, verify=False)
    else:
        config.write_text(
            {
                "text": "server_key {",
                "no key": 'server_cert: "x"',
                "no PEM": 'server_key: "x" server_cert: "y"',
            }[broken]
        )
    check_refusal(config, "--ssl_config_file")


def check_refusal(value: Path, flag: str) -> None:
    """The service must end with 1, and say in one line which flag is wrong."""
    command = [sys.executable, "-m", "service", f"{flag}={value}", "--host=127.0.0.1"]
    ports = [f"--port={free_port()}", f"--rest_api_port={free_port()}"]
    done = subprocess.run(
        [*command, *ports], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"python -m service: {flag}: ")
    assert done.stdout == ""


@pytest.mark.parametrize("content", [b"nonsense {", b"\xff", None])
def test_a_model_config_file_that_cannot_be_used_ends_the_start_with_one_clear_line(
    tmp_path, content
):
    config = tmp_path / "models.config"
    if content is not None:
        config.write_bytes(content)
    check_refusal(config, "--model_config_file")


@pytest.mark.parametrize("name", ["missing/s", "x" * 200, ".", "a file"])
def test_a_socket_that_cannot_be_made_ends_the_start_with_one_clear_line(tmp_path, name):
    (tmp_path / "a file").touch()
    check_refusal(tmp_path / name, "--grpc_socket_path")


def test_while_the_service_goes_down_health_is_not_serving_and_calls_are_answered(two_models):
    with (
        running_service(two_models, shutdown_delay_s=1.5) as service,
        calling(service.grpc) as client,
    ):
        wait_until(lambda: client.serving() == "SERVING", "the service is healthy")
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: client.serving() == "NOT_SERVING", "health has turned")
        assert client.price() > 0
        assert fetch(f"{service.url}/readyz").status == 503
        assert service.process.wait(20) == 0


def test_channel_arguments_reach_the_server(two_models):
    with (
        running_service(
            two_models, grpc_channel_arguments="grpc.max_receive_message_length=100"
        ) as service,
        calling(service.grpc) as client,
    ):
        assert client.price() > 0
        with refused(Code.RESOURCE_EXHAUSTED):
            client.predict(price_of(*[ROW] * 20))
