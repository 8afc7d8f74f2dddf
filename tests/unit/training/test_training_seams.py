from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]


def imported(path: Path) -> set[str]:
    """The modules that a file imports, as far as its text says."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


# The command that describes a network from elsewhere has the service run it.
DESCRIBES = ROOT / "training" / "elsewhere"


def test_training_knows_nothing_of_the_service_but_the_contract():
    for path in (ROOT / "training").rglob("*.py"):
        of_ours = {it for it in imported(path) if it.split(".")[0] in {"service", "client"}}
        parts = {".".join(name.split(".")[:2]) for name in of_ours}
        running = {"service.errors", "service.network"} if path.parent == DESCRIBES else set()
        assert parts <= {"service.contract"} | running, path


def test_data_is_described_with_its_hash():
    import hashlib

    data = (ROOT / "data" / "boston_housing.csv").read_bytes()
    assert hashlib.sha256(data).hexdigest() in (ROOT / "data" / "README.md").read_text()
