"""docs/scoring.md: its examples run, and say what is shown."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

DOCUMENT = (ROOT / "docs/scoring.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)


def shape(output: str) -> str:
    """Output with fractions made alike: they are the trained model's own."""
    return re.sub(r"\d+\.\d+", "N", output)


@pytest.fixture
def folder(tmp_path: Path, housing_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would be: with the data, the model and the code."""
    for name in ("data", "service", "client"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(housing_models, tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_says_what_is_shown(folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, expected = part.split("\n", 1)
            done = subprocess.run(
                ["bash", "-c", command],
                env={**os.environ, "PATH": path},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert shape(done.stdout) == shape(expected), command


def test_every_python_example_runs(folder: Path) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        for block in blocks("python"):
            exec(compile(block, "scoring.md", "exec"), {"__name__": "scoring_examples"})

    assert output.getvalue().splitlines() == [
        "506 0",
        "True [False  True] RM is 65, outside [0, 50] rooms",
    ]
