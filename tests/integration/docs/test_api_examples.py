"""What the API page shows is what the service answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import grpc
import pytest

from tests.curl_examples import alike, examples, said
from tests.servers import running_service

ROOT = Path(__file__).parents[3]
PAGES = {
    name: (ROOT / name).read_text() for name in ("docs/api.md", "docs/explanations.md", "README.md")
}
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

    for part in ('"instances"', '"inputs"', '"examples"', "/versions/", ":regress", ":explain"):
        assert part in text


def test_python_example_over_grpc_gives_the_same_price(service):
    (code,) = re.findall(r"```python\n(import grpc.+?)```", PAGES["docs/api.md"], re.DOTALL)
    script = code.replace("localhost:8500", service.grpc) + "\nprint(price)\n"

    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    ).stdout

    rest = service.post("/v1/models/housing:predict", {"instances": [[6.142, 91.7, 18.72]]})
    assert float(printed) == pytest.approx(rest.json()["predictions"][0], rel=1e-6)


ROUTES = re.findall(r"^\| `(GET|POST|PUT) (/\S+)` \| (\d+) \|", PAGES["docs/api.md"], re.MULTILINE)
METHODS = re.findall(r"^\| `([\w.]+)/(\w+)` \| (yes|no)", PAGES["docs/api.md"], re.MULTILINE)
EXAMPLE = {"RM": 6.142, "AGE": 91.7, "LSTAT": 18.72}
HOUSE = {"instances": [list(EXAMPLE.values())], "signature_name": "serving_default"}
EXAMPLES_OF_ONE = {"examples": [EXAMPLE], "signature_name": "regress"}


@pytest.mark.parametrize(("method", "path", "status"), ROUTES)
def test_route_of_the_table_is_answered_with_its_status(service, method, path, status):
    wants_examples = path.endswith((":regress", ":classify"))
    body = json.dumps(EXAMPLES_OF_ONE if wants_examples else HOUSE).encode()
    line = ["curl", "--silent", "--output", "-", "--write-out", "\n%{http_code}", "-X", method]
    sent = ["--data-binary", "@-"] if method == "POST" else []

    done = subprocess.run(
        [*line, *sent, service.url + path], input=body, capture_output=True, check=True
    )

    assert done.stdout.decode().splitlines()[-1] == status, done.stdout


def test_methods_of_the_table_are_those_that_there_are(service):
    with grpc.insecure_channel(service.grpc) as channel:
        there = {name: said for name, *_, said in map(partial(_asked, channel), METHODS)}

    assert len(there) == len(METHODS) > 8
    assert there == {f"{name}/{method}": known for name, method, known in METHODS}


def _asked(channel: grpc.Channel, row: tuple[str, str, str]) -> tuple[str, str]:
    """Whether a method is there: an empty request is refused, but not as unimplemented."""
    name = f"{row[0]}/{row[1]}"
    try:
        channel.unary_unary(f"/{name}")(b"", timeout=10)
    except grpc.RpcError as error:
        return name, "no" if error.code() is grpc.StatusCode.UNIMPLEMENTED else "yes"
    return name, "yes"
