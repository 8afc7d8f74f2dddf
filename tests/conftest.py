"""What tests of several parts need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests import penguins

ROOT = Path(__file__).parent.parent

# How long an example takes says nothing about the code: the machine may be busy.
settings.register_profile("no-clock", deadline=None)
settings.load_profile("no-clock")


@pytest.fixture(scope="session")
def housing_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with ``housing/1``, trained once by the default recipe. Not to be changed."""
    models = tmp_path_factory.mktemp("models")
    train(["--models", str(models)])
    return models


@pytest.fixture(scope="session")
def penguin_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with ``penguins/1``, and what its training said as the file ``said``."""
    models = tmp_path_factory.mktemp("penguins")
    (models / "said").write_text(train(penguins.line(models)))
    return models


def train(arguments: list[str]) -> str:
    """Run the command of training; gives what it said."""
    command = [sys.executable, "-m", "training", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
