"""Each part asks in its own list for what its code imports, so that its image is complete."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
OWN = {"service", "training", "client"}
# Where the name that is imported is not the name that is installed.
DISTRIBUTIONS = {
    "google": "protobuf",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "jwt": "pyjwt",
    "keras": "tensorflow",  # brings it, in the version that fits
    "opentelemetry": "opentelemetry-sdk",
    "simdjson": "pysimdjson",
    "sklearn": "scikit-learn",
    "tensorflow_serving": "tensorflow-serving-api",
    "yaml": "pyyaml",
}
# What a part can do without: imported only where it is asked for, and tested by us.
OPTIONAL = {"service": {"pyarrow"}}
LISTS = {
    "service": ("service", "traces", "protocol", "signing", "fetch", "scoring"),
    "training": ("training", "signing"),
    "client": ("client",),
}


def imported(part: str) -> set[str]:
    """The distributions that a part's code imports, wherever in the code it does."""
    names: set[str] = set()
    for path in (ROOT / part).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    foreign = names - OWN - set(sys.stdlib_module_names) - {"_typeshed"}  # for type checkers alone
    return {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in foreign}


def asked_for(*lists: str) -> set[str]:
    text = "\n".join((ROOT / "requirements" / f"{name}.in").read_text() for name in lists)
    return set(re.findall(r"^[a-z0-9-]+", text, flags=re.MULTILINE))


@pytest.mark.parametrize("part", sorted(LISTS))
def test_what_is_imported_is_asked_for(part: str) -> None:
    optional = OPTIONAL.get(part, set())

    assert imported(part) - asked_for(*LISTS[part]) - optional == set()
    assert optional <= asked_for("dev")
