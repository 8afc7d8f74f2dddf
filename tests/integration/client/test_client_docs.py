"""docs/client.md: its examples run, and it knows every flag, setting and error."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import client
from client import _arguments

REPOSITORY = Path(__file__).parents[3]
DOCUMENT = (REPOSITORY / "docs" / "client.md").read_text()
URL = "http://127.0.0.1:8501"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)


def sessions():
    """Each command of the console blocks, with the output below it."""
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            yield tuple(part.split("\n", 1))


def shape(output):
    """Output with its numbers and spaces made alike: they are the trained model's own."""
    return re.sub(r" +", " ", re.sub(r"\d+(\.\d+)?", "N", output)).replace(" \n", "\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a reader would be who has the data."""
    (tmp_path / "data").mkdir()
    shutil.copy(REPOSITORY / "data" / "boston_housing.csv", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_python_example_runs(server, folder):
    names, output = {"__name__": "client_examples"}, io.StringIO()
    # A dataclass looks its module up.
    sys.modules["client_examples"] = type(sys)("client_examples")
    try:
        with contextlib.redirect_stdout(output):
            for block in blocks("python"):
                exec(compile(block.replace(URL, server.url), "client.md", "exec"), names)
    finally:
        del sys.modules["client_examples"]
        names["client"].close()
    lines = output.getvalue().splitlines()
    assert lines[0] == "14.29 thousand USD"
    assert lines[-1] == "house 1 is wrong: instances[1].RM is 600, outside [0, 100]"


@pytest.mark.parametrize(("command", "expected"), list(sessions()))
def test_every_command_does_what_is_shown(environ, folder, command, expected):
    path = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert shape(done.stdout) == shape(expected)


def actions(parser):
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command, inner in action.choices.items():
                assert f"python -m client {command}" in DOCUMENT
                yield from actions(inner)


def test_every_flag_is_in_the_document():
    flags = {flag for action in actions(_arguments.parser()) for flag in action.option_strings}
    assert len(flags) >= 12
    for flag in flags:
        assert f"`{flag}`" in DOCUMENT, flag


def test_every_flag_of_the_document_is_there():
    known = {flag for action in actions(_arguments.parser()) for flag in action.option_strings}
    assert set(re.findall(r"(--[a-z_]+)", DOCUMENT)) <= known


def test_every_setting_of_a_client_is_in_the_document():
    for field in dataclasses.fields(client.Client):
        assert f"| `{field.name}` |" in DOCUMENT, field.name


def test_every_method_of_a_client_is_in_the_document():
    methods = [
        name
        for name, _ in inspect.getmembers(client.Client, inspect.isfunction)
        if not name.startswith("_")
    ]
    inner = {"predict_rows", "predict_intervals"}  # what the command line is built on
    for name in set(methods) - inner:
        assert f"`{name}" in DOCUMENT or f"client.{name}(" in DOCUMENT, name


def test_every_error_is_in_the_document():
    for name in client.__all__:
        if isinstance(getattr(client, name), type) and issubclass(
            getattr(client, name), client.HearthError
        ):
            assert f"  {name}  " in DOCUMENT or name == "HearthError"
