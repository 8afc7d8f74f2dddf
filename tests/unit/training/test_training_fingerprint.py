from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import contract
from training import __main__ as command
from training import describe, fingerprint
from training.recipe import Recipe

ROOT = Path(__file__).parents[3]
HEAVY = {"tensorflow", "keras", "numpy", "pandas", "pandera", "sklearn", "matplotlib", "rich"}

files = st.dictionaries(st.text("ab/.", min_size=1, max_size=4), st.binary(max_size=4), max_size=4)


def publish(version: Path, made_from: fingerprint.Fingerprint) -> None:
    """Write a version with a true contract, and a network in name only."""
    version.mkdir(parents=True)
    (version / contract.SAVED_MODEL).write_bytes(b"network")
    described = contract.Contract(
        model="housing",
        features=(),
        target=contract.Target("MEDV", "price", "thousand USD", describe.distribution(np.ones(1))),
        tolerance=0.001,
        metrics={},
        recipe=made_from.recipe,
        lineage=describe.lineage("t.csv", made_from),
        files={},
    )
    contract.write(version, described, contract.Golden((), ()))


def test_same_data_and_recipe_are_already_made(tmp_path):
    publish(tmp_path / "3", fingerprint.take(Recipe(), b"data"))

    again = fingerprint.take(Recipe(), b"data")
    assert command._already_made(tmp_path, again) == tmp_path / "3"


@pytest.mark.parametrize(
    ("recipe", "data"),
    [(Recipe(seed=1), b"data"), (Recipe(raw=True), b"data"), (Recipe(), b"date")],
)
def test_other_data_or_recipe_is_not_made_yet(tmp_path, recipe, data):
    publish(tmp_path / "3", fingerprint.take(Recipe(), b"data"))

    assert command._already_made(tmp_path, fingerprint.take(recipe, data)) is None


@pytest.mark.parametrize("changed", ["code_sha256", "packages"])
def test_other_code_or_packages_are_not_made_yet(tmp_path, changed):
    made_from = fingerprint.take(Recipe(), b"data")
    other = {"code_sha256": "0" * 64, "packages": made_from.packages | {"keras": "1.0"}}
    publish(tmp_path / "3", dataclasses.replace(made_from, **{changed: other[changed]}))

    assert command._already_made(tmp_path, made_from) is None


def test_only_the_newest_version_counts(tmp_path):
    publish(tmp_path / "9", fingerprint.take(Recipe(), b"data"))
    publish(tmp_path / "10", fingerprint.take(Recipe(seed=1), b"data"))

    assert command._already_made(tmp_path, fingerprint.take(Recipe(), b"data")) is None


def test_damaged_version_is_made_again(tmp_path, capsys):
    made_from = fingerprint.take(Recipe(), b"data")
    publish(tmp_path / "3", made_from)
    (tmp_path / "3" / contract.SAVED_MODEL).write_bytes(b"other")

    assert command._already_made(tmp_path, made_from) is None
    assert "3 is damaged (saved_model.pb has SHA-256" in capsys.readouterr().out


def test_version_of_another_trainer_is_no_reason_to_rest(tmp_path):
    (tmp_path / "3").mkdir()

    assert command._already_made(tmp_path, fingerprint.take(Recipe(), b"data")) is None


def test_command_says_what_is_already_made_and_how_to_train_again(tmp_path, capsys):
    data = tmp_path / "t.csv"
    data.write_bytes(b"data")
    publish(tmp_path / "models" / "housing" / "3", fingerprint.take(Recipe(), b"data"))

    code = command.main(["--data", str(data), "--models", str(tmp_path / "models")])

    said = capsys.readouterr().out
    assert code == 0
    assert f"{tmp_path}/models/housing/3 is already made from the same data, recipe and" in said
    assert "--force (make train FORCE=1)" in said


def test_missing_table_is_named(tmp_path, capsys):
    code = command.main(["--data", str(tmp_path / "none.csv"), "--models", str(tmp_path)])

    assert code == 1
    assert f"{tmp_path}/none.csv cannot be used:\n  No such file" in capsys.readouterr().err


def test_unchanged_run_loads_no_heavy_library():
    program = "import sys, training.__main__; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert HEAVY & set(done.stdout.split()) == set()


def test_fingerprint_has_the_packages_that_shape_the_weights():
    packages = fingerprint.take(Recipe(), b"").packages

    assert packages["numpy"] == np.__version__
    assert packages["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(packages) == {"tensorflow", "keras", "numpy", "pandas", "python"}


@given(files, files)
def test_code_hash_differs_when_and_only_when_the_files_do(one, other):
    hashes = [fingerprint.hash_files(it.items()) for it in (one, other)]

    assert (hashes[0] == hashes[1]) == (one == other)


@given(files)
def test_code_hash_does_not_depend_on_the_order_of_files(some):
    turned = reversed(list(some.items()))

    assert fingerprint.hash_files(turned) == fingerprint.hash_files(some.items())


def test_code_hash_covers_training_its_template_and_the_contract():
    names = {name for name, _ in fingerprint._code()}

    assert {"__main__.py", "fit.py", "templates/report.html", "service/contract.py"} <= names
