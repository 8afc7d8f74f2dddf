"""What tests of several parts need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def housing_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with ``housing/1``, trained once by the default recipe. Not to be changed."""
    models = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-m", "training", "--models", str(models)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return models
