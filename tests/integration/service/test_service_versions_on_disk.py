"""Versions that come, go and are broken while the service answers."""

from __future__ import annotations

import shutil

import pytest

from service import contract as contracts
from service.contract import CONTRACT, GOLDEN, LITERT_MODEL, SAVED_MODEL
from tests.integration.service.wire import HOUSE, PREDICT, Traffic
from tests.servers import running_service, wait_until

POLL_S = 0.1


@pytest.fixture
def service(models):
    with running_service(models, file_system_poll_wait_seconds=POLL_S) as server:
        yield server


def state_of(service, number):
    for it in service.get("/v1/models/housing").json().get("model_version_status", ()):
        if it["version"] == str(number):
            return it["state"], it["status"]["error_message"]
    return None, ""


def served_by(service) -> str:
    return service.get("/v1/models/housing/metadata").json()["model_spec"]["version"]


def damaged(path, number):
    content = bytearray(path.read_bytes())
    content[number % len(content)] ^= 255
    path.write_bytes(content)


# Each breaks a version's folder, and says what the reason must hold.
def truncated_network(folder):
    (folder / LITERT_MODEL).write_bytes((folder / LITERT_MODEL).read_bytes()[:1000])
    return "model.tflite has SHA-256"


def flipped_byte(folder):
    damaged(folder / "variables" / "variables.data-00000-of-00001", 300)
    return "variables/variables.data-00000-of-00001 has SHA-256"


def missing_golden(folder):
    (folder / GOLDEN).unlink()
    return "assets.extra/golden.json is missing"


def malformed_contract(folder):
    (folder / CONTRACT).write_text("{")
    return "contract.json is not as it should be"


def empty_folder(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    return "there is neither model.tflite nor saved_model.pb"


def no_model(folder):
    for name in (LITERT_MODEL, SAVED_MODEL, CONTRACT):
        (folder / name).unlink()
    return "there is neither model.tflite nor saved_model.pb"


def other_prices(folder):
    golden = contracts.read_golden(folder)
    dearer = tuple(price + 5 for price in golden.predictions)
    contracts.write(folder, contracts.read(folder), contracts.Golden(golden.instances, dearer))
    return "golden row 0 gives"


BREAKAGES = [
    truncated_network,
    flipped_byte,
    missing_golden,
    malformed_contract,
    empty_folder,
    no_model,
    other_prices,
]


def test_bad_versions_are_refused_with_their_reasons_and_the_good_one_goes_on(
    service, models, tmp_path
):
    with Traffic(service.url, clients=1) as traffic:
        for number, breakage in enumerate(BREAKAGES, start=2):
            made = tmp_path / f"made-{number}"
            shutil.copytree(models / "housing" / "1", made)
            reason = breakage(made)
            made.rename(models / "housing" / str(number))
            wait_until(lambda: state_of(service, number)[0] == "END", breakage.__name__)  # noqa: B023
            assert reason in state_of(service, number)[1]
            assert f"housing version {number} is refused: {state_of(service, number)[1]}" in (
                service.output()
            )

    assert traffic.failures == []
    assert {(status, version) for status, version, _ in traffic.answers} == {(200, "1")}
    assert state_of(service, 1) == ("AVAILABLE", "")
    refused = 'hearth_model_loads_total{model="housing",outcome="VersionRefused"} '
    assert f"{refused}{len(BREAKAGES)}.0" in service.get("/metrics").text
    assert service.get("/readyz").status == 200


def copy_slowly(source, target, pause):
    """File by file and in pieces, over several looks of the service."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        place.write_bytes(content[: len(content) // 2])
        pause()
        place.write_bytes(content)
        pause()


def test_a_version_copied_file_by_file_under_traffic_is_swapped_in_when_it_is_whole(
    service, models, tmp_path
):
    shutil.copytree(models / "housing" / "1", tmp_path / "next")
    with Traffic(service.url, clients=2) as traffic:

        def some_answers() -> None:
            before = len(traffic.answers)
            wait_until(lambda: len(traffic.answers) > before + 20, "traffic")

        copy_slowly(tmp_path / "next", models / "housing" / "2", some_answers)
        wait_until(lambda: served_by(service) == "2", "version 2 is served")
        asked = len(traffic.answers)
        wait_until(lambda: len(traffic.answers) > asked + 20, "traffic on version 2")

    assert traffic.failures == []
    assert {status for status, *_ in traffic.answers} == {200}
    assert [version for _, version, _ in traffic.answers][-1] == "2"
    assert len({price for *_, price in traffic.answers}) == 1  # the same network
    assert state_of(service, 1) == ("END", "")
    assert "is refused" not in service.output()


def test_when_the_newest_is_removed_the_older_one_takes_over_under_traffic(
    service, models, tmp_path
):
    shutil.copytree(models / "housing" / "1", models / "housing" / "2")
    wait_until(lambda: served_by(service) == "2", "version 2 is served")
    with Traffic(service.url) as traffic:
        (models / "housing" / "2").rename(tmp_path / "gone")
        wait_until(lambda: served_by(service) == "1", "version 1 is served again")

    assert traffic.failures == []
    assert {status for status, *_ in traffic.answers} == {200}


def test_the_last_version_removed_is_unloaded_and_a_new_one_served(service, models, tmp_path):
    (models / "housing" / "1").rename(tmp_path / "kept")
    wait_until(lambda: service.get("/readyz").status == 503, "nothing is served")
    assert service.post(PREDICT, HOUSE).status == 404
    assert service.get("/readyz").json()["reason"] == "model housing: there is no version of it"

    (tmp_path / "kept").rename(models / "housing" / "5")
    wait_until(lambda: service.get("/readyz").status == 200, "version 5 is served")
    assert served_by(service) == "5"


def test_storage_that_goes_away_does_not_take_the_model_along(service, models):
    (models / "housing").rename(models / "elsewhere")
    wait_until(lambda: "its folder cannot be read" in service.output(), "the loss is logged")

    assert service.post(PREDICT, HOUSE).status == 200
    assert service.get("/readyz").status == 200
