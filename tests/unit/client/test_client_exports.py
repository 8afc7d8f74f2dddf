"""The public face: what is exported, how the errors hang together, what is imported."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
import types
from pathlib import Path

import pytest

import client
from client import _errors

PACKAGE = Path(client.__file__).parent
ERRORS = [value for value in vars(_errors).values() if isinstance(value, type)]


def test_all_is_sorted_and_is_what_the_package_names():
    public = [
        name
        for name, value in vars(client).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    ]
    assert client.__all__ == sorted(public)


def test_every_module_but_the_entry_is_private():
    assert all(path.name.startswith("_") for path in PACKAGE.glob("*.py"))


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()


def test_every_error_is_exported_and_drawn_in_the_tree():
    for error in ERRORS:
        assert error.__name__ in client.__all__
        assert error.__name__ in _errors.__doc__


@pytest.mark.parametrize("error", ERRORS)
def test_errors_survive_pickling(error):
    """Processes hand their errors to each other."""
    sent = error("no", url="http://x", status=400, request_id="abc", row=3)
    received = pickle.loads(pickle.dumps(sent))
    assert type(received) is error
    assert str(received) == str(sent) == "no (400 from http://x, request id abc)"
    assert received.row == 3


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_no_module_imports_the_service_training_or_tensorflow(path):
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    # One command works without a server, and imports what it needs for that when it is run.
    allowed = {"service"} if path.name == "_scoring.py" else set()
    others = {"service", "training", "tensorflow", "tensorflow_serving", "keras"} - allowed
    assert not names & others


def test_the_command_line_imports_nothing_of_the_service_before_it_scores():
    code = (
        "import sys, client.__main__; print([it for it in sys.modules if it.startswith('service')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
