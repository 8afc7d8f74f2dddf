"""What the API page shows is what the service answers."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import running_service

ROOT = Path(__file__).parents[3]
PAGES = {name: (ROOT / name).read_text() for name in ("docs/api.md", "README.md")}
EXAMPLE = re.compile(r"^\$ (curl .+)\n(\{.+\})$", re.MULTILINE)
EXAMPLES = [
    pytest.param(command, shown, id=f"{name}-{index}")
    for name, text in PAGES.items()
    for index, (command, shown) in enumerate(EXAMPLE.findall(text))
]


@pytest.fixture(scope="module")
def service(housing_models):
    with running_service(housing_models) as server:
        yield server


def alike(shown, answered) -> bool:
    """The same JSON, but for the last digits of a freshly trained network's prices."""
    if isinstance(shown, dict) and isinstance(answered, dict):
        return shown.keys() == answered.keys() and all(alike(shown[k], answered[k]) for k in shown)
    if isinstance(shown, list) and isinstance(answered, list):
        return len(shown) == len(answered) and all(map(alike, shown, answered))
    if isinstance(shown, float) and isinstance(answered, float):
        return answered == pytest.approx(shown, rel=0.1)
    return shown == answered


@pytest.mark.parametrize(("command", "shown"), EXAMPLES)
def test_curl_example_is_answered_as_shown(service, command, shown):
    line = shlex.split(command.replace("http://localhost:8501", service.url))

    said = subprocess.run([*line, "--silent"], capture_output=True, text=True, check=True).stdout

    assert alike(json.loads(shown), json.loads(said)), said


def test_there_are_examples_of_every_kind():
    text = "".join(command for command, _ in EXAMPLE.findall(PAGES["docs/api.md"]))

    for part in ('"instances"', '"inputs"', '"examples"', "/versions/", ":regress"):
        assert part in text


def test_python_example_over_grpc_gives_the_same_price(service):
    (code,) = re.findall(r"```python\n(import grpc.+?)```", PAGES["docs/api.md"], re.DOTALL)
    script = code.replace("localhost:8500", service.grpc) + "\nprint(price)\n"

    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    ).stdout

    rest = service.post("/v1/models/housing:predict", {"instances": [[6.142, 91.7, 18.72]]})
    assert float(said) == pytest.approx(rest.json()["predictions"][0], rel=1e-6)
