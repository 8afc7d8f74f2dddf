"""The commands beside training: their flags, what they print, and how they end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from service import contract as contracts
from service.contract import Estimate, Gate, Golden, Lineage
from tests.unit.service.fakes import contract
from training import __main__ as command
from training import commands, flags, labels, recipe

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "training.md").read_text()


def publish(models: Path, number: int, gate: Gate | None = None, **knobs: object) -> None:
    """Publish a version that has a contract and nothing else."""
    version = models / "housing" / str(number)
    version.mkdir(parents=True)
    made_by = msgspec.to_builtins(recipe.defaults() | knobs)
    lineage = Lineage(
        "2026-11-25T01:02:03+00:00", "t.csv", "d" * 64, "c" * 64, {}, "r" * 64, 0, "", 1, gate
    )
    metrics = {"test": {"network": {"mae": 3.25, "mse": 20.5, "r2": 0.75}}}
    described = contract(recipe=made_by, lineage=lineage, metrics=metrics)
    contracts.write(version, described, Golden(((1.0,),), (1.0,)))
    labels.published(models, "housing", number)


@pytest.fixture
def models(tmp_path) -> Path:
    folder = tmp_path / "models"
    publish(folder, 1)
    publish(folder, 2, Gate(1, 102, 3.25, 3.5, Estimate(-0.25, -0.4, -0.1), 0.003, 0.05), epochs=7)
    return folder


def run(models: Path, *arguments: str) -> int:
    return command.main([*arguments, "--models", str(models)])


def test_promote_and_rollback_say_what_is_stable(models, capsys):
    assert run(models, "promote") == 0
    assert run(models, "rollback") == 0
    assert run(models, "rollback") == 1

    said = capsys.readouterr()
    assert said.out == "Version 2 of housing is stable.\nVersion 1 of housing is stable.\n"
    assert said.err == (
        "python -m training rollback: "
        "no other version of housing was stable before and is still there\n"
    )


def test_candidate_on_trial_is_named(models, capsys):
    publish(models, 3)

    assert run(models, "promote", "2") == 0
    assert capsys.readouterr().out == "Version 2 of housing is stable; version 3 is candidate.\n"
    assert run(models, "withdraw") == 0
    assert capsys.readouterr().out == "Version 2 of housing is stable.\n"


def test_config_is_written_and_named(models, capsys):
    (models / "models.config").unlink()

    assert run(models, "config") == 0
    assert capsys.readouterr().out == f"{models}/models.config\n"
    assert 'key: "candidate" value: 2' in (models / "models.config").read_text()


def test_log_shows_versions_newest_first(models, capsys):
    assert run(models, "log") == 0

    head, newest, oldest = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["version", "labels", "made", "recipe"]
    assert newest.split()[:2] == ["2", "candidate"]
    assert "epochs 7" in newest
    assert "3.250  20.500  0.750  better than 1: -0.250, p 0.003  dddddddd" in newest
    assert oldest.split()[:2] == ["1", "stable"]
    assert "tutorial" in oldest
    assert "not compared with 1" in oldest


def test_log_as_json_has_the_whole_lineage(models, capsys):
    assert run(models, "log", "--json") == 0

    told = json.loads(capsys.readouterr().out)
    newest = told["versions"][0]
    assert told["labels"] == {"stable": 1, "candidate": 2}
    assert [it["action"] for it in told["history"]] == ["publish", "publish"]
    assert newest["labels"] == ["candidate"]
    assert newest["gate"]["difference"] == {"value": -0.25, "low": -0.4, "high": -0.1}
    assert newest["recipe"]["epochs"] == 7
    assert newest["metrics"]["mae"] == 3.25
    assert newest["signed"] is False
    assert {"data_sha256", "code_sha256", "recipe_sha256", "seed", "commit", "parent"} <= set(
        newest
    )


def test_log_names_a_version_that_it_cannot_read(models, capsys):
    (models / "housing/1/assets.extra/contract.json").write_text("{")
    (models / "housing" / "3").mkdir()

    assert run(models, "log") == 0
    said = capsys.readouterr().out
    assert "no contract" in said
    assert "contract.json is not as it should be" in said


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("promote 9", "housing has no version 9; there are: 1, 2"),
        ("promote --name boats", "boats has no version candidate; there are: none"),
        ("verify 1 --data none.csv", "none.csv cannot be used:\n  No such file or directory"),
        ("sign 1 --key none.key", "none.key is no private key to sign with: "),
    ],
)
def test_command_that_cannot_be_done_ends_with_1_and_its_reason(models, capsys, line, problem):
    name, *rest = line.split()

    assert run(models, name, *rest) == 1
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("promote 1 2", "unrecognized arguments: 2"),
        ("compare 1", "the following arguments are required: other"),
        ("sign 1", "the following arguments are required: --key"),
        ("log --name ../x", "--name is '../x', outside letters, digits and _ . -"),
        ("log --js", "unrecognized arguments: --js"),
    ],
)
def test_wrong_flag_of_a_command_ends_in_one_line(capsys, line, problem):
    with pytest.raises(SystemExit) as ended:
        command.main(line.split())

    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"python -m training {line.split()[0]}: {problem}")
    assert said.count("\n") == 1


def test_help_of_training_lists_the_commands(capsys):
    with pytest.raises(SystemExit):
        flags.parse(["--help"])

    said = capsys.readouterr().out
    for name, it in commands.COMMANDS.items():
        assert re.search(rf"^ +{name} +{re.escape(it.says)}$", said, re.MULTILINE), name


def test_a_version_that_was_trained_elsewhere_is_listed_and_not_compared(tmp_path, capsys):
    version = tmp_path / "models" / "housing" / "1"
    version.mkdir(parents=True)
    contracts.write(version, contract(recipe={}), Golden(((1.0,),), (1.0,)))

    assert run(tmp_path / "models", "log") == 0
    assert " elsewhere " in capsys.readouterr().out
    for asked in (["compare", "1", "1"], ["card", "1"], ["verify", "1"]):
        assert run(tmp_path / "models", *asked) == 1
        assert "version 1 was trained elsewhere" in capsys.readouterr().err


def test_every_command_and_its_flags_are_in_the_documentation():
    rows = dict(re.findall(r"^\| `(\w+)[^`]*` \| ([^|]*)\|", PAGE, re.MULTILINE))

    assert set(commands.COMMANDS) <= set(rows)
    for name in commands.COMMANDS:
        options = {text for it in commands.parser(name)._actions for text in it.option_strings} - {
            "-h",
            "--help",
            "--models",
            "--name",
        }
        assert set(re.findall(r"--\w+", rows[name])) == options, name


def test_alpha_has_limits(capsys):
    for text, problem in (("0", "is 0, outside (0, 1)"), ("x", "is 'x', not a number")):
        with pytest.raises(SystemExit):
            flags.parse(["--alpha", text])
        assert f"--alpha {problem}" in capsys.readouterr().err


def test_moving_labels_loads_no_heavy_library():
    import subprocess
    import sys

    program = "import sys, training.__main__, training.labels; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & {"tensorflow", "numpy", "scipy", "pandas", "rich", "model_signing"} == set()
