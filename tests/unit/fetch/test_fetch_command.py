"""The command line of a fetch, and what it needs and is not given."""

from __future__ import annotations

import subprocess
import sys

import pytest

from service.fetch.__main__ import main, parser
from tests.unit.deploy.test_dockerfiles import ROOT


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--newest=0", "'0' is no whole number in [1, 1000]"),
        ("--newest=x", "'x' is no whole number in [1, 1000]"),
        ("--version=-1", "'-1' is no whole number in [0, 9223372036854775807]"),
        ("--version=../1", "'../1' is no whole number in [0, 9223372036854775807]"),
        ("--retry_s=nan", "'nan' is no number of seconds in [0, 86400]"),
    ],
)
def test_a_wrong_value_is_told_with_its_limits(flag, said, capsys):
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(["source", "destination", flag])

    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_newest_and_version_exclude_each_other(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["source", "destination", "--newest=2", "--version=1"])
    assert "not allowed with" in capsys.readouterr().err


def test_a_place_that_nobody_knows_is_told(tmp_path, capsys):
    assert main(["nothing://models", str(tmp_path)]) == 1
    assert "nothing://models cannot be opened" in capsys.readouterr().err


def test_a_key_that_is_none_is_told_before_anything_is_fetched(tmp_path, capsys):
    (tmp_path / "key.pub").write_text("no key")

    assert main([str(tmp_path), str(tmp_path), f"--verify_versions_with={tmp_path}/key.pub"]) == 1
    assert "is no public key to check with" in capsys.readouterr().err


def test_the_service_imports_nothing_of_it():
    code = "import sys, service.process; print({'fsspec', 'obstore'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"
