"""Versions come from Amazon's, Google's, Azure's and Hugging Face's stores, as a pod gets them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from service.contract import CONTRACT, SIGNATURE, checksums
from service.fetch.__main__ import main
from tests.certificates import certify
from tests.integration.fetch.clouds import (
    ASSERTION,
    TOKEN,
    Amazon,
    Azure,
    Cloud,
    Google,
    Hub,
    cloud,
)
from tests.unit.repository.test_signatures import make_key
from training import signing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT_ONCE = "--retry_s=0"
STORES = [Amazon, Google, Azure, Hub]
MODEL = "shelf/housing/12/model.tflite"


@pytest.fixture(scope="module")
def shelf(housing_models: Path) -> dict[str, bytes]:
    """Versions 1 and 12 by name, and a file that is none."""
    version = housing_models / "housing" / "1"
    files = {
        str(it.relative_to(version)): it.read_bytes() for it in version.rglob("*") if it.is_file()
    }
    return {"shelf/housing/README.md": b"# Houses"} | {
        f"shelf/housing/{number}/{name}": content
        for number in (1, 12)
        for name, content in files.items()
    }


@pytest.fixture(scope="module")
def signed(housing_models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """A signature of the version, and a stranger's public key."""
    folder = tmp_path_factory.mktemp("signed")
    signer, _ = make_key(folder, "signer")
    version = shutil.copytree(housing_models / "housing" / "1", folder / "version")
    signing.sign(version, signer)
    return (version / SIGNATURE).read_bytes(), make_key(folder, "stranger")[1]


@pytest.fixture(scope="module", params=STORES, ids=lambda it: it.__name__)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A store that runs, and a process that is told where it is and who it is itself."""
    folder = tmp_path_factory.mktemp("identity")
    (folder / "assertion").write_text(ASSERTION)
    certified = certify(folder, "server", certify(folder, "authority"))
    with cloud(request.param, certified) as it, pytest.MonkeyPatch.context() as patch:
        for name, value in request.param.environment.items():
            patch.setenv(name, value.format(host=it.host, folder=folder))
        yield it


@pytest.fixture
def server(store: Cloud, shelf: dict[str, bytes]) -> Cloud:
    """The store as it should be."""
    store.reset(shelf)
    return store


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "models"


def left(destination: Path) -> list[str]:
    return sorted(it.name for it in destination.iterdir())


def test_the_newest_version_comes_whole(
    server: Cloud, destination: Path, housing_models: Path
) -> None:
    assert main([server.source, str(destination), AT_ONCE]) == 0

    made = housing_models / "housing" / "1"
    assert left(destination) == [".fetch.lock", "12"]
    assert checksums(destination / "12") == checksums(made)
    assert (destination / "12" / CONTRACT).read_bytes() == (made / CONTRACT).read_bytes()


def test_a_version_without_contract_is_listed_page_by_page(
    server: Cloud, destination: Path, housing_models: Path
) -> None:
    del server.files[f"shelf/housing/12/{CONTRACT}"]

    assert main([server.source, str(destination), AT_ONCE, "--allow_unchecked"]) == 0
    assert checksums(destination / "12") == checksums(housing_models / "housing" / "1")


def test_a_file_with_a_flipped_bit_is_refused_and_nothing_of_it_kept(
    server: Cloud, destination: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(server.files[MODEL])
    content[1000] ^= 1
    server.files[MODEL] = bytes(content)

    assert main([server.source, str(destination), AT_ONCE]) == 1
    assert f"{server.source}/12: model.tflite has SHA-256 " in capsys.readouterr().err
    assert left(destination) == [".fetch.lock"]


def test_a_version_that_nobody_we_trust_has_signed_is_refused(
    server: Cloud,
    signed: tuple[bytes, Path],
    destination: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    signature, stranger = signed
    server.files[f"shelf/housing/12/{SIGNATURE}"] = signature
    asked = [server.source, str(destination), AT_ONCE, f"--verify_versions_with={stranger}"]

    assert main(asked) == 1
    assert f"{server.source}/12: its signature does not hold" in capsys.readouterr().err
    assert left(destination) == [".fetch.lock"]


def test_a_file_that_ends_too_early_is_asked_for_again(
    server: Cloud, destination: Path, housing_models: Path
) -> None:
    server.truncated[MODEL] = 1

    assert main([server.source, str(destination), "--retry_s=20"]) == 0
    assert checksums(destination / "12") == checksums(housing_models / "housing" / "1")


@pytest.mark.parametrize("store", [Amazon, Google, Azure], indirect=True, scope="module")
def test_a_file_that_never_comes_whole_leaves_nothing_to_be_seen(
    server: Cloud, destination: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.truncated[MODEL] = 1000

    assert main([server.source, str(destination), AT_ONCE]) == 1
    assert f"{server.source}/12/model.tflite: " in capsys.readouterr().err
    assert left(destination) == [".12.part", ".fetch.lock"]


def test_who_is_not_known_is_told_so(
    server: Cloud,
    destination: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.token = "of-somebody-else"

    assert main([server.source, str(destination)]) == 1
    said = capsys.readouterr().err
    assert f"{server.source} may not be read: " in said
    assert server.refusal in said
    assert "<" not in said
    assert TOKEN not in said


def test_a_place_that_is_not_there_is_told(
    server: Cloud, destination: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = server.source.replace("/models/", "/nowhere/")

    assert main([elsewhere, str(destination)]) == 1
    assert f"{elsewhere} is not there" in capsys.readouterr().err
    assert main([server.source, str(destination), "--version=3"]) == 1
    assert f"{server.source}/3/{CONTRACT} is not there" in capsys.readouterr().err


@pytest.mark.parametrize("store", [Hub], indirect=True, scope="module")
def test_a_gated_repository_is_told_and_not_asked_again_and_again(
    server: Cloud, destination: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.is_gated = True

    assert main([server.source, str(destination)]) == 1
    assert "Cannot access gated repo" in capsys.readouterr().err
    assert sum("/resolve/" in it for it in server.asked) == 1


@pytest.mark.parametrize("store", [Google], indirect=True, scope="module")
def test_a_bucket_goes_by_the_other_name_of_its_scheme_too(
    server: Cloud, destination: Path
) -> None:
    source = server.source.replace("gs://", "gcs://")

    assert main([source, str(destination), "--version=1", AT_ONCE]) == 0
    assert left(destination) == [".fetch.lock", "1"]
