"""The names under which Prometheus stores what the service publishes."""

from __future__ import annotations

import re
from pathlib import Path

OPERATIONS = Path(__file__).resolve().parents[3] / "docs/operations.md"
_ENDINGS = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}


def published() -> set[str]:
    """The names of all samples, by the table that another test holds to the code."""
    rows = re.findall(r"^\| `(hearth_\w+)` \| (\w+) \|", OPERATIONS.read_text(), re.MULTILINE)
    return {name + ending for name, kind in rows for ending in _ENDINGS[kind]}
