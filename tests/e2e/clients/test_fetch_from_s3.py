"""Versions are fetched from a server that speaks S3."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import S3Store

from service.contract import CONTRACT, checksums
from service.fetch.__main__ import main
from tests.servers import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.clients.conftest import ClientEnvironment

pytestmark = pytest.mark.timeout(600)  # the first run installs the server

SOURCE = "s3://models/shelf/housing"


@pytest.fixture(scope="module")
def endpoint(client_environment: ClientEnvironment) -> Iterator[str]:
    """Where a server answers that keeps buckets in memory."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    start = "from moto.server import main; import sys; main(sys.argv[1:])"
    stopped = "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0));"
    command = [str(client_environment("moto")), "-c", f"import sys; {stopped} {start}"]
    with running([*command, "-H", "127.0.0.1", "-p", str(port)], url, f"{url}/moto-api/") as it:
        yield it.url


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, housing_models: Path) -> Any:
    """The bucket with version 1 as 1 and 12; the process is told where it is as a pod would be."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    make_bucket(endpoint)
    store: Any = S3Store("models", client_options={"allow_http": True})
    version = housing_models / "housing" / "1"
    for number in (1, 12):
        for path in (it for it in version.rglob("*") if it.is_file()):
            store.put(f"shelf/housing/{number}/{path.relative_to(version)}", path)
    return store


def make_bucket(endpoint: str) -> None:
    request = urllib.request.Request(f"{endpoint}/models", method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_the_newest_version_comes_whole(bucket: Any, housing_models: Path, tmp_path: Path) -> None:
    assert main([SOURCE, str(tmp_path)]) == 0

    made = housing_models / "housing" / "1"
    assert checksums(tmp_path / "12") == checksums(made)
    assert (tmp_path / "12" / CONTRACT).read_bytes() == (made / CONTRACT).read_bytes()
    assert not (tmp_path / "1").exists()


def test_an_object_with_a_flipped_bit_is_refused(
    bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "shelf/housing/12/saved_model.pb"
    content = bytearray(bytes(bucket.get(name).bytes()))
    content[len(content) // 2] ^= 1
    bucket.put(name, bytes(content))

    assert main([SOURCE, str(tmp_path)]) == 1
    assert f"{SOURCE}/12: saved_model.pb has SHA-256" in capsys.readouterr().err
    assert [it.name for it in tmp_path.iterdir()] == [".fetch.lock"]


def test_a_version_without_contract_is_listed(bucket: Any, tmp_path: Path) -> None:
    bucket.delete(f"shelf/housing/12/{CONTRACT}")

    assert main([SOURCE, str(tmp_path)]) == 1
    assert main([SOURCE, str(tmp_path), "--allow_unchecked"]) == 0
    assert (tmp_path / "12" / "variables" / "variables.index").is_file()


def test_a_bucket_that_is_not_there_is_told(
    bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["s3://nowhere/housing", str(tmp_path)]) == 1
    assert "s3://nowhere/housing is not there" in capsys.readouterr().err
