"""What the API page shows is what the service answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.curl_examples import alike, examples, said
from tests.servers import running_service

ROOT = Path(__file__).parents[3]
PAGES = {name: (ROOT / name).read_text() for name in ("docs/api.md", "README.md")}
EXAMPLES = [
    pytest.param(command, shown, id=f"{name}-{index}")
    for name, text in PAGES.items()
    for index, (command, shown) in enumerate(examples(text))
]


@pytest.fixture(scope="module")
def service(housing_models):
    with running_service(housing_models) as server:
        yield server


@pytest.mark.parametrize(("command", "shown"), EXAMPLES)
def test_curl_example_is_answered_as_shown(service, command, shown):
    answered = said(command, service.url)

    assert alike(json.loads(shown), answered), answered


def test_there_are_examples_of_every_kind():
    text = "".join(command for command, _ in examples(PAGES["docs/api.md"]))

    for part in ('"instances"', '"inputs"', '"examples"', "/versions/", ":regress"):
        assert part in text


def test_python_example_over_grpc_gives_the_same_price(service):
    (code,) = re.findall(r"```python\n(import grpc.+?)```", PAGES["docs/api.md"], re.DOTALL)
    script = code.replace("localhost:8500", service.grpc) + "\nprint(price)\n"

    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    ).stdout

    rest = service.post("/v1/models/housing:predict", {"instances": [[6.142, 91.7, 18.72]]})
    assert float(printed) == pytest.approx(rest.json()["predictions"][0], rel=1e-6)
