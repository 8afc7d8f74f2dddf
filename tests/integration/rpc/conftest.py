"""Models for several services: two versions of one, one of another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import ROOT, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

EXPORT = Path(__file__).parent / "export_several.py"


@pytest.fixture(scope="session")
def two_models(housing_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with ``housing/1``, ``housing/2`` and ``other/7``. Not to be changed."""
    folder = tmp_path_factory.mktemp("two_models")
    for place in ("housing/1", "housing/2", "other/7"):
        shutil.copytree(housing_models / "housing" / "1", folder / place)
    return folder


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model of several outputs and signatures, run by TensorFlow, with a short REST limit."""
    models = tmp_path_factory.mktemp("several_models")
    command = [sys.executable, str(EXPORT), str(models / "several" / "1")]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    with running_service(
        models,
        name="several",
        executor="tensorflow",
        rest_api_timeout_in_ms=1000,
        access_log="all",
    ) as server:
        yield server
