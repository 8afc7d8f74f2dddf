"""The curl examples of a page: what they ask, what they show, what a service says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from typing import Any

import pytest

_EXAMPLE = re.compile(r"^\$ (curl .+)\n([{\[].+)$", re.MULTILINE)


def examples(page: str) -> list[tuple[str, str]]:
    """Each command of a page with the JSON that stands behind it."""
    return _EXAMPLE.findall(page)


def said(command: str, url: str) -> Any:
    """What the service at ``url`` answers to a command of a page."""
    line = shlex.split(command.replace("http://localhost:8501", url))
    done = subprocess.run([*line, "--silent"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def alike(shown: Any, answered: Any) -> bool:
    """The same JSON, but for the last digits of a freshly trained network's prices."""
    if isinstance(shown, dict) and isinstance(answered, dict):
        return shown.keys() == answered.keys() and all(alike(shown[k], answered[k]) for k in shown)
    if isinstance(shown, list) and isinstance(answered, list):
        return len(shown) == len(answered) and all(map(alike, shown, answered))
    if isinstance(shown, float) and isinstance(answered, float):
        return answered == pytest.approx(shown, rel=0.1)
    return bool(shown == answered)
