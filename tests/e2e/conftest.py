"""Tests of the whole stack; those that need a system package say so with a marker.

@pytest.mark.system("prometheus") skips a test where that command is absent, and the
reason names the package that ``requirements/system.txt`` gives for it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

PACKAGES = Path(__file__).resolve().parents[2] / "requirements" / "system.txt"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "system(*commands): needs commands of requirements/system.txt"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("system"):
        for command in marker.args:
            _require(command)


def _require(command: str) -> None:
    package = _packages()[command]
    if shutil.which(command) is None:
        pytest.skip(f"not run: {command} is not installed (system package {package})")


def _packages() -> dict[str, str]:
    """The package of each command that may be asked for."""
    lines = (line.split() for line in PACKAGES.read_text().splitlines())
    return {words[1]: words[0] for words in lines if words and not words[0].startswith("#")}
