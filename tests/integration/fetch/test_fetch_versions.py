"""Versions are fetched whole, checked, or not at all."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import fsspec
import pytest

from service.contract import CONTRACT, checksums
from service.fetch import store
from service.fetch.__main__ import main
from service.fetch.store import open_store
from service.fetch.version import Fetcher
from tests.integration.fetch.shop import shop
from tests.servers import ROOT, free_port, running_service, wait_until
from tests.unit.repository.test_signatures import make_key
from training import signing

if TYPE_CHECKING:
    from pathlib import Path

HOUSE = {"instances": [[6.142, 91.7, 18.72]]}
# No test waits for a store that is to stay away.
AT_ONCE = "--retry_s=0"


@pytest.fixture
def kept(housing_models, tmp_path):
    """A folder of versions 1, 2 and 10, to be changed."""
    for number in ("1", "2", "10"):
        shutil.copytree(housing_models / "housing" / "1", tmp_path / "kept" / "housing" / number)
    return tmp_path / "kept" / "housing"


@pytest.fixture
def server(kept):
    with shop(kept.parent) as it:
        yield it


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "models" / "housing"


def seen(destination: Path) -> set[str]:
    """What a service would take for versions."""
    return {it.name for it in destination.iterdir() if it.name.isdigit()}


def assert_same(one: Path, other: Path) -> None:
    assert checksums(one) == checksums(other)
    assert (one / CONTRACT).read_bytes() == (other / CONTRACT).read_bytes()


def edit_contract(version: Path, **changes) -> None:
    path = version / CONTRACT
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("form", ["path", "file", "http"])
def test_the_newest_version_is_fetched_whole(kept, server, destination, form):
    source = {"path": str(kept), "file": f"file://{kept}", "http": f"{server.url}/housing/"}[form]

    assert main([source, str(destination)]) == 0
    assert seen(destination) == {"10"}
    assert_same(destination / "10", kept / "10")


def test_a_version_is_fetched_from_any_store_that_fsspec_knows(kept, destination):
    memory = fsspec.filesystem("memory")
    memory.put(str(kept), "/shelf/housing", recursive=True)
    try:
        assert main(["memory://shelf/housing", str(destination), "--newest=2"]) == 0
    finally:
        memory.rm("/shelf", recursive=True)
    assert seen(destination) == {"2", "10"}
    assert_same(destination / "2", kept / "2")


def test_named_versions_are_fetched_and_no_others(server, destination):
    source = f"{server.url}/housing"

    assert main([source, str(destination), "--version=2", "--version=1"]) == 0
    assert seen(destination) == {"1", "2"}


def test_what_is_there_is_not_asked_for_again(server, destination, capsys):
    source = f"{server.url}/housing"
    main([source, str(destination)])
    server.asked.clear()

    assert main([source, str(destination)]) == 0
    assert {it.rstrip("/") for it in server.asked} == {"/housing"}
    assert f"{destination}/10: there already" in capsys.readouterr().out


def test_progress_tells_each_file(server, destination, capsys):
    main([f"{server.url}/housing", str(destination)])
    lines = capsys.readouterr().err.splitlines()
    size = (destination / "10" / "saved_model.pb").stat().st_size

    assert any(it.startswith(f"10/saved_model.pb: {size} bytes, ") for it in lines)
    assert lines[-1].endswith(f"{len(lines)} of {len(lines)} files")


def test_a_service_serves_what_is_fetched(server, destination):
    destination.mkdir(parents=True)
    with running_service(
        destination.parent, until="/livez", file_system_poll_wait_seconds=0.1
    ) as service:
        assert service.get("/readyz").status == 503
        assert main([f"{server.url}/housing", str(destination)]) == 0
        wait_until(lambda: service.get("/readyz").status == 200, "the version is served")
        assert service.post("/v1/models/housing:predict", HOUSE).status == 200


def test_a_file_with_a_flipped_bit_is_refused_and_nothing_of_it_kept(
    kept, server, destination, capsys
):
    path = kept / "10" / "model.tflite"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)

    assert main([f"{server.url}/housing", str(destination)]) == 1
    assert [it.name for it in destination.iterdir()] == [".fetch.lock"]
    said = capsys.readouterr().err
    assert f"{server.url}/housing/10: model.tflite has SHA-256 " in said


def test_a_file_that_ends_too_early_is_asked_for_again(server, destination):
    server.truncated["/model.tflite"] = 2

    assert main([f"{server.url}/housing", str(destination), "--retry_s=20"]) == 0
    assert sum(it.endswith("/model.tflite") for it in server.asked) == 3


def test_a_file_that_never_comes_whole_is_told_and_the_rest_kept_for_the_next_try(
    kept, server, destination, capsys
):
    source = f"{server.url}/housing"
    server.truncated["/model.tflite"] = 1000
    assert main([source, str(destination), AT_ONCE]) == 1
    assert seen(destination) == set()
    assert f"{source}/10/model.tflite: " in capsys.readouterr().err

    server.truncated.clear()
    server.asked.clear()
    assert main([source, str(destination), AT_ONCE]) == 0
    assert_same(destination / "10", kept / "10")
    assert "/housing/10/saved_model.pb" not in server.asked


def test_a_server_that_falls_silent_is_given_up(server, destination, capsys, monkeypatch):
    monkeypatch.setattr(store, "_SILENCE", "0.5s")
    server.held.add("/model.tflite")

    assert main([f"{server.url}/housing", str(destination), AT_ONCE]) == 1
    assert seen(destination) == set()
    assert f"{server.url}/housing/10/model.tflite: " in capsys.readouterr().err
    server.ended.set()


def test_a_version_that_vanishes_halfway_is_told(kept, server, destination, capsys):
    (kept / "10" / "saved_model.pb").unlink()

    assert main([f"{server.url}/housing", str(destination), AT_ONCE]) == 1
    assert seen(destination) == set()
    assert f"{server.url}/housing/10/saved_model.pb is not there" in capsys.readouterr().err


def test_a_store_that_nobody_runs_is_told(destination, capsys):
    source = f"http://127.0.0.1:{free_port()}/housing"

    assert main([source, str(destination), AT_ONCE]) == 1
    assert f"{source}/: " in capsys.readouterr().err


def test_a_broken_version_does_not_keep_another_away(kept, server, destination):
    (kept / "10" / "model.tflite").write_bytes(b"no model")

    assert main([f"{server.url}/housing", str(destination), "--newest=2", AT_ONCE]) == 1
    assert seen(destination) == {"2"}


def test_a_fetch_that_is_killed_leaves_nothing_to_be_seen_and_is_gone_on_with(
    kept, server, destination
):
    source = f"{server.url}/housing"
    server.held.add("/variables/variables.index")
    command = [sys.executable, "-m", "service.fetch", source, str(destination)]
    fetching = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    part = destination / ".10.part"
    wait_until(
        lambda: (part / "variables/variables.index").exists() and (part / "model.tflite").exists(),
        "it is halfway",
    )
    wait_until(lambda: is_whole(part / "saved_model.pb", kept / "10"), "a large file has come")
    fetching.send_signal(signal.SIGKILL)
    fetching.wait()
    assert seen(destination) == set()

    server.held.clear()
    server.ended.set()
    server.asked.clear()
    assert main([source, str(destination)]) == 0
    assert_same(destination / "10", kept / "10")
    assert "/housing/10/saved_model.pb" not in server.asked


def is_whole(path: Path, version: Path) -> bool:
    whole = (version / path.name).read_bytes()
    return path.exists() and path.read_bytes() == whole


@pytest.mark.parametrize(
    "name", ["../11/saved_model.pb", "/etc/passwd", "variables/../../x", "a//b", "./a", "a\\b", ""]
)
def test_a_name_that_leads_elsewhere_is_refused(kept, destination, capsys, name):
    edit_contract(kept / "10", files={name: "0" * 64})

    assert main([str(kept), str(destination)]) == 1
    assert f"{name!r} lies outside the version's folder" in capsys.readouterr().err
    assert seen(destination) == set()


def test_a_link_among_the_files_here_is_not_followed(kept, destination, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    part = destination / ".10.part"
    part.mkdir(parents=True)
    (part / "variables").symlink_to(elsewhere)
    (part / "model.tflite").symlink_to(elsewhere / "model")

    assert main([str(kept), str(destination)]) == 0
    assert list(elsewhere.iterdir()) == []
    assert_same(destination / "10", kept / "10")


def test_a_folder_that_is_a_link_is_refused(kept, destination, tmp_path, capsys):
    destination.mkdir(parents=True)
    (destination / ".10.part").symlink_to(tmp_path)

    assert main([str(kept), str(destination)]) == 1
    assert "is a link" in capsys.readouterr().err


def test_a_link_out_of_the_source_is_refused(kept, destination, tmp_path, capsys):
    (tmp_path / "secret").write_text("secret")
    (kept / "10" / "model.tflite").unlink()
    (kept / "10" / "model.tflite").symlink_to(tmp_path / "secret")

    assert main([str(kept), str(destination)]) == 1
    assert f"is a link that leads out of {kept}" in capsys.readouterr().err


def test_a_contract_that_is_none_is_refused(kept, destination, capsys):
    (kept / "10" / CONTRACT).write_bytes(b"\xff{")

    assert main([str(kept), str(destination)]) == 1
    assert "contract.json is not as it should be" in capsys.readouterr().err


def test_a_version_without_contract_is_refused_unless_allowed(kept, destination, capsys):
    (kept / "10" / CONTRACT).unlink()

    assert main([str(kept), str(destination)]) == 1
    assert "nothing of it could be checked" in capsys.readouterr().err
    assert main([str(kept), str(destination), "--allow_unchecked"]) == 0
    assert checksums(destination / "10") == checksums(kept / "10")


def test_over_http_a_version_without_contract_cannot_be_listed(kept, server, destination, capsys):
    (kept / "10" / CONTRACT).unlink()

    assert main([f"{server.url}/housing", str(destination), "--allow_unchecked", AT_ONCE]) == 1
    assert "over HTTP only a contract tells" in capsys.readouterr().err


def test_a_server_that_lists_nothing_is_asked_for_a_version_by_name(server, kept, destination):
    (kept / "index.html").write_text("<p>No list here.</p>")
    source = f"{server.url}/housing"

    assert main([source, str(destination), AT_ONCE]) == 1
    assert main([source, str(destination), "--version=2"]) == 0


def test_a_source_without_versions_is_told(tmp_path, destination, capsys):
    (tmp_path / "empty").mkdir()

    assert main([str(tmp_path / "empty"), str(destination)]) == 1
    assert "has no versions" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere"), str(destination)]) == 1
    assert f"{tmp_path / 'nowhere'} is not there" in capsys.readouterr().err


def test_what_earlier_fetches_left_of_other_versions_goes(kept, destination):
    (destination / ".3.part").mkdir(parents=True)

    assert main([str(kept), str(destination)]) == 0
    assert sorted(it.name for it in destination.iterdir()) == [".fetch.lock", "10"]


def test_a_version_that_is_not_signed_by_whom_we_trust_is_refused(
    kept, server, destination, tmp_path, capsys
):
    ours, theirs = make_key(tmp_path, "ours"), make_key(tmp_path, "theirs")
    source = f"{server.url}/housing"
    signing.sign(kept / "2", ours[0])
    signing.sign(kept / "1", theirs[0])
    asked = [source, str(destination), f"--verify_versions_with={ours[1]}", AT_ONCE]

    assert main([*asked, "--version=1"]) == 1
    assert "signature does not hold with ours.pub" in capsys.readouterr().err
    assert main([*asked, "--version=10"]) == 1
    assert f"{source}/10: it is not signed" in capsys.readouterr().err
    assert main([*asked, "--version=2"]) == 0
    assert seen(destination) == {"2"}


def test_a_folder_that_appears_meanwhile_is_left_as_it_is(kept, destination):
    (destination / "10").mkdir(parents=True)

    assert Fetcher(open_store(str(kept), 0), destination).fetch(10) is None
    assert list((destination / "10").iterdir()) == []
