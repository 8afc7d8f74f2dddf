"""Clients of others, each in an environment of its own, beside a service that runs.

An environment is made on first use from ``tests/clients/NAME.txt`` and kept below
``.venv-clients`` until that file changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ROOT, Server, running_service

_ENVIRONMENTS = ROOT / ".venv-clients"
_LISTS = ROOT / "tests" / "clients"
_HERE = Path(__file__).parent

ClientEnvironment = Callable[[str], Path]
Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def client_environment() -> ClientEnvironment:
    """From the name of a list of packages to the Python that has them installed."""
    return _environment


@pytest.fixture(scope="session")
def service(housing_models: Path) -> Iterator[Server]:
    """A service with the housing model, REST and gRPC."""
    with running_service(housing_models) as server:
        yield server


@pytest.fixture(scope="session")
def ask(client_environment: ClientEnvironment) -> Ask:
    """Run ``NAME_script.py``, or another, in the environment NAME; it prints JSON."""

    def run(name: str, *arguments: object, script: str = "") -> Any:
        command = [
            client_environment(name),
            _HERE / (script or f"{name}_script.py"),
            *map(_argument, arguments),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def _environment(name: str) -> Path:
    folder = _ENVIRONMENTS / name
    packages = _LISTS / f"{name}.txt"
    _ENVIRONMENTS.mkdir(exist_ok=True)
    with (_ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another session may be making it
        installed = folder / "installed"
        wanted = hashlib.sha256(packages.read_bytes()).hexdigest()
        if not installed.exists() or installed.read_text() != wanted:
            _install(folder, packages)
            installed.write_text(wanted)
    return folder / "bin" / "python"


def _install(folder: Path, packages: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=False, symlinks=True)
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    options = ["--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes", "-q"]
    done = subprocess.run(
        [*command, *options, "-r", str(packages)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{folder.name} cannot be installed:\n{done.stderr[-2000:]}"


def _argument(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
