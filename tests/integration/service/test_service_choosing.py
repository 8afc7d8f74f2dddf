"""A service that follows the labels, and takes only versions that somebody trusted has signed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from service import contract as contracts
from tests.integration.service.wire import HOUSE, PREDICT, Traffic
from tests.servers import running_service, wait_until
from tests.unit.repository.test_signatures import make_key
from training import labels, signing

if TYPE_CHECKING:
    from pathlib import Path

CANDIDATE = "/v1/models/housing/labels/candidate:predict"


@pytest.fixture
def trial(models) -> Path:
    """Version 1 is stable; version 2, the same network, is on trial."""
    shutil.copytree(models / "housing" / "1", models / "housing" / "2")
    labels.published(models, "housing", 2)
    return models


@pytest.fixture
def followed(trial):
    """The service as ``make serve`` starts it, with quicker looks."""
    flags = {"model_config_file": trial / labels.CONFIG, "default_version_label": "stable"}
    with running_service(
        trial,
        model_config_file_poll_wait_seconds=0.05,
        file_system_poll_wait_seconds=0.1,
        **flags,
    ) as service:
        yield service


def version_of(service, path: str = "/v1/models/housing/metadata") -> str:
    return service.get(path).json()["model_spec"]["version"]


def error_of(service, number: int) -> str:
    for it in service.get("/v1/models/housing").json()["model_version_status"]:
        if it["version"] == str(number):
            return it["status"]["error_message"]
    return ""


def refuse_golden_rows(version: Path) -> None:
    """Let a version say other prices than its network gives."""
    golden, described = contracts.read_golden(version), contracts.read(version)
    assert described is not None
    dearer = tuple(price + 5 for price in golden.predictions)
    contracts.write(version, described, contracts.Golden(golden.instances, dearer))


def test_candidate_answers_who_asks_for_it_and_nobody_else_until_promoted(followed, trial):
    """And no request is lost on the way there and back."""
    assert version_of(followed) == "1"
    assert version_of(followed, "/v1/models/housing/labels/candidate/metadata") == "2"
    assert followed.post(CANDIDATE, HOUSE).status == 200

    with Traffic(followed.url) as traffic:
        labels.promote(trial, "housing")
        wait_until(lambda: version_of(followed) == "2", "version 2 to answer")
        labels.rollback(trial, "housing")
        wait_until(lambda: version_of(followed) == "1", "version 1 to answer again")

    assert traffic.failures == []
    assert {status for status, _, _ in traffic.answers} == {200}
    assert {version for _, version, _ in traffic.answers} == {"1", "2"}
    assert (
        followed.get("/v1/models/housing/versions/2").json()["model_version_status"][0]["state"]
        == "END"
    )


def test_promoted_version_that_cannot_be_served_leaves_the_label_where_it_was(followed, trial):
    shutil.copytree(trial / "housing" / "1", trial / "housing" / "3")
    refuse_golden_rows(trial / "housing" / "3")

    labels.promote(trial, "housing", "3")
    wait_until(lambda: "golden row 0 gives" in error_of(followed, 3), "version 3 to be refused")

    assert version_of(followed) == "1"
    assert followed.post(PREDICT, HOUSE).status == 200
    assert followed.get("/readyz").status == 200


def test_version_that_nobody_trusted_has_signed_is_refused_and_the_old_one_goes_on(trial, tmp_path):
    ours, theirs = (make_key(tmp_path, name) for name in ("ours", "theirs"))
    signing.sign(trial / "housing" / "1", ours[0])
    signing.sign(trial / "housing" / "2", theirs[0])

    with running_service(
        trial, verify_versions_with=ours[1], file_system_poll_wait_seconds=0.1
    ) as service:
        assert version_of(service) == "1"
        assert "does not hold with ours.pub: Key mismatch" in error_of(service, 2)
        assert "housing version 2 is refused: its signature does not" in service.output()
        counted = 'hearth_model_loads_total{model="housing",outcome="VersionRefused"} '
        assert counted in service.get("/metrics").text

        signing.sign(trial / "housing" / "2", ours[0])
        wait_until(lambda: version_of(service) == "2", "version 2, now signed, to answer")


def test_service_does_not_start_with_a_key_that_it_cannot_use(trial, tmp_path):
    (tmp_path / "broken.pub").write_text("no key")

    with (
        pytest.raises(RuntimeError, match=r"--verify_versions_with: .*broken\.pub is no public"),
        running_service(trial, verify_versions_with=tmp_path / "broken.pub"),
    ):
        pass
