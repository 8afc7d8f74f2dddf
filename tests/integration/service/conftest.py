"""Model folders that may be changed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def models(housing_models, tmp_path) -> Path:
    """A models folder with ``housing/1`` for one test alone."""
    folder = tmp_path / "models"
    shutil.copytree(housing_models, folder)
    return folder
