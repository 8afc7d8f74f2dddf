"""A version scores that somebody who is trusted has signed, where that is asked for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from service.score import Options, Pricing, TableError
from service.score import score as score_table
from service.score.job import scorer_of
from tests.integration.score.conftest import houses, write
from tests.unit.repository.test_signatures import make_key
from training import signing

if TYPE_CHECKING:
    from tests.integration.score.conftest import Score


class Signed(NamedTuple):
    """A version that we have signed, our public key, and a stranger's."""

    version: Path
    ours: Path
    theirs: Path


@pytest.fixture(scope="module")
def signed(housing_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    folder = tmp_path_factory.mktemp("signed")
    version = Path(shutil.copytree(housing_models / "housing" / "1", folder / "housing" / "1"))
    private, ours = make_key(folder, "ours")
    signing.sign(version, private)
    return Signed(version, ours, make_key(folder, "theirs")[1])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(houses(20), tmp_path_factory.mktemp("table") / "t.parquet", 5)


def test_a_signed_version_scores_and_every_process_checks_it(
    score: Score, signed: Signed, table: Path, tmp_path: Path
) -> None:
    done = score(
        table, "-o", tmp_path / "out", "--model_base_path", signed.version.parent,
        "--verify_versions_with", f"{signed.theirs},{signed.ours}", "--processes", 2,
        "--unit_rows", 5,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "20 rows scored by housing version 1" in done.stderr


def test_the_command_refuses_a_version_that_a_stranger_has_signed(
    score: Score, signed: Signed, table: Path, tmp_path: Path
) -> None:
    done = score(
        table, "-o", tmp_path / "out", "--model_base_path", signed.version.parent,
        "--verify_versions_with", signed.theirs,
    )  # fmt: skip

    assert done.returncode == 1
    assert f"{signed.version} cannot be used: its signature does not hold with" in done.stderr
    assert "theirs.pub" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_nobody_has_signed_is_refused_before_anything_is_written(
    housing_models: Path, signed: Signed, table: Path, tmp_path: Path
) -> None:
    options = Options(verify_versions_with=[signed.ours])

    with pytest.raises(TableError, match="cannot be used: it is not signed"):
        score_table(table, tmp_path / "out", housing_models / "housing", options)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_none_is_told(signed: Signed, table: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.pub").write_text("no key")
    options = Options(verify_versions_with=[tmp_path / "broken.pub"])

    with pytest.raises(TableError, match=r"--verify_versions_with: .*broken\.pub is no public key"):
        score_table(table, tmp_path / "out", signed.version, options)


def test_who_does_the_units_refuses_a_version_that_has_been_changed_since(
    signed: Signed, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(signed.version, tmp_path / "housing" / "1"))
    (changed / "assets.extra" / "model-card.md").write_text("Trust me.")

    with pytest.raises(TableError, match=r"does not hold with ours\.pub: .*model-card\.md"):
        scorer_of(changed, None, (), (signed.ours,))


def test_spark_function_refuses_a_version_that_a_stranger_has_signed(signed: Signed) -> None:
    with pytest.raises(TableError, match=r"does not hold with theirs\.pub"):
        Pricing(signed.version, verify_versions_with=[signed.theirs])
