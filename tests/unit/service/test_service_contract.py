from __future__ import annotations

import json
from hashlib import sha256

import pytest

from service import contract as contracts
from service.contract import (
    BACKGROUND,
    CONTRACT,
    GOLDEN,
    HELD_OUT,
    Background,
    ContractError,
    Golden,
    HeldOut,
)
from tests.unit.service.fakes import contract

GOLDEN_ROWS = Golden(((6.0, 50.0, 10.0), (5.0, 90.0, 30.0)), (66.0, 125.0))


@pytest.fixture
def version(tmp_path):
    """A version folder with two files, described."""
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "variables" / "data").write_bytes(b"weights")
    contracts.write(tmp_path, contract(), GOLDEN_ROWS)
    return tmp_path


def change(version, path, **changes):
    document = json.loads((version / path).read_bytes())
    (version / path).write_text(json.dumps(document | changes))


def test_what_is_written_is_read_back(version):
    read = contracts.read(version)

    assert read.features == contract().features
    assert read.feature_names == ("RM", "AGE", "LSTAT")
    assert read.metrics == contract().metrics
    assert contracts.read_golden(version) == GOLDEN_ROWS


def test_every_other_file_is_described_by_its_hash(version):
    files = contracts.read(version).files

    assert set(files) == {"saved_model.pb", "variables/data", GOLDEN}
    assert files["saved_model.pb"] == sha256(b"graph").hexdigest()
    contracts.verify(version, contracts.read(version))


def test_intervals_and_golden_bounds_are_read_back(tmp_path):
    seen = contracts.Coverage(0.9, 0.8, 0.95, 12.5, 102)
    level = contracts.Level(0.9, "interval_90", 2.1, seen)
    ranged = contracts.Intervals(
        "by hand", 404, contracts.Spread((10.0, 20.0), (1.0, 3.0)), 0.0, (level,)
    )
    golden = Golden(((6.0,),), (19.0,), {"interval_90": ((10.0, 28.0),)})
    contracts.write(tmp_path, contract(intervals=ranged), golden)

    assert contracts.read(tmp_path).intervals == ranged
    assert contracts.read_golden(tmp_path) == golden


def test_golden_bounds_of_another_number_of_rows_are_refused(tmp_path):
    contracts.write(tmp_path, contract(), Golden(((6.0,),), (19.0,), {"interval_90": ()}))

    with pytest.raises(ContractError, match="has 1 instances but 0 bounds of interval_90"):
        contracts.read_golden(tmp_path)


def test_a_version_may_go_without_a_contract(tmp_path):
    assert contracts.read(tmp_path) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b'{"format": "one"}', b'{"format": 1}']
)
def test_a_malformed_contract_is_refused_by_name(version, content):
    (version / CONTRACT).write_bytes(content)

    with pytest.raises(ContractError, match=r"contract\.json is not as it should be"):
        contracts.read(version)


def test_a_contract_of_a_later_format_is_named_as_such(version):
    (version / CONTRACT).write_text('{"format": 2, "all": "different"}')

    with pytest.raises(ContractError, match=r"has format 2, known up to 1"):
        contracts.read(version)


def test_a_changed_file_is_named_with_both_hashes(version):
    described = contracts.read(version)
    (version / "saved_model.pb").write_bytes(b"grasp")

    with pytest.raises(ContractError) as refused:
        contracts.verify(version, described)

    assert str(refused.value) == (
        f"saved_model.pb has SHA-256 {sha256(b'grasp').hexdigest()[:12]}…, "
        f"the contract says {sha256(b'graph').hexdigest()[:12]}…"
    )


def test_a_missing_file_is_named(version):
    described = contracts.read(version)
    (version / "variables" / "data").unlink()

    with pytest.raises(ContractError, match=r"variables/data is missing"):
        contracts.verify(version, described)


def test_missing_golden_rows_are_named(version):
    (version / GOLDEN).unlink()

    with pytest.raises(ContractError, match=r"assets\.extra/golden\.json is missing"):
        contracts.read_golden(version)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predictions": [66.0]}, "2 instances but 1 predictions"),
        ({"instances": [], "predictions": []}, "widths [], expected one width"),
        ({"instances": [[1.0], [1.0, 2.0]]}, "widths [1, 2], expected one width"),
        ({"instances": 3}, "not as it should be"),
    ],
)
def test_golden_rows_that_make_no_table_are_refused(version, changes, message):
    change(version, GOLDEN, **changes)

    with pytest.raises(ContractError) as refused:
        contracts.read_golden(version)
    assert message in str(refused.value)


ROWS = Background(((6.0, None, 10.0), (5.0, 90.0, 30.0)), (1.0, None, 2.5), 1.25, 0.01)


def test_the_rows_of_explanations_are_read_back_and_described_by_their_hash(version):
    contracts.write_background(version, ROWS)
    contracts.write(version, contract(), GOLDEN_ROWS)
    described = contracts.read(version)

    assert contracts.read_background(version, described) == ROWS
    assert BACKGROUND in described.files


def test_a_version_may_go_without_the_rows_of_explanations(version):
    assert contracts.read_background(version, contract()) is None


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (Background((), (1.0,) * 3), r"has 0 rows of the widths \[3\]"),
        (Background(((1.0, 2.0),), (1.0,) * 3), r"has 1 rows of the widths \[2, 3\]"),
        (Background(((1.0,) * 3,), (1.0,)), r"has 1 rows of the widths \[1, 3\]"),
    ],
)
def test_rows_of_explanations_that_are_not_of_the_features_are_refused(version, rows, found):
    contracts.write_background(version, rows)

    with pytest.raises(ContractError, match=found):
        contracts.read_background(version, contract())


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"instances": [["six"]], "scales": [1]}'])
def test_malformed_rows_of_explanations_are_refused_by_name(version, content):
    (version / BACKGROUND).write_bytes(content)

    with pytest.raises(ContractError, match=r"background\.json is not as it should be"):
        contracts.read_background(version, contract())


def test_test_rows_are_read_back_and_described_by_their_hash(tmp_path):
    rows = HeldOut(((6.0, 1.0), (None, 2.0)), (1.0, 2.0), (1.5, 2.5))
    contracts.write_held_out(tmp_path, rows)
    contracts.write(tmp_path, contract(), GOLDEN_ROWS)

    assert contracts.read_held_out(tmp_path) == rows
    assert HELD_OUT in contracts.read(tmp_path).files


def test_test_rows_without_as_many_truths_are_refused(tmp_path):
    contracts.write_held_out(tmp_path, HeldOut(((6.0,),), (1.0,), (1.5, 2.5)))

    with pytest.raises(ContractError, match=r"test\.json has \[1, 2\] entries"):
        contracts.read_held_out(tmp_path)
    with pytest.raises(ContractError, match=r"test\.json is missing"):
        contracts.read_held_out(tmp_path / "elsewhere")
