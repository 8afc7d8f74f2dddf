"""docs/invocations.md: its examples run, and each row of its tables is tried."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from service.settings import SettingsError, parse
from tests.servers import ROOT, Answer, Server, running_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DOCUMENT = (ROOT / "docs" / "invocations.md").read_text()
URL = "http://localhost:8501"
ROUTES = {"vertex_health_route": "/alive", "vertex_predict_route": "/v1/endpoints/7:predict"}
HOUSE = {"RM": 6.142, "AGE": 91.7, "LSTAT": 18.72}
ROW = [6.142, 91.7, 18.72]
JSON = "application/json"


@pytest.fixture(scope="module")
def service(housing_models: Path) -> Iterator[Server]:
    with running_service(housing_models, **ROUTES) as server:
        yield server


def sessions() -> list[tuple[str, str]]:
    """Each command of the console blocks, with the output below it."""
    blocks = re.findall(r"^```console\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    parts = (part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE))
    return [tuple(part.split("\n", 1)) for part in parts if part]


def shape(output: str) -> str:
    """Output whose prices are made alike: they are the trained model's own."""
    return re.sub(r"\b\d+\.\d+\b", "PRICE", output).strip()


@pytest.mark.parametrize(("command", "expected"), sessions())
def test_every_command_of_the_document_answers_as_shown(
    service: Server, command: str, expected: str
) -> None:
    asked = ["bash", "-c", command.replace("curl", "curl -sS", 1).replace(URL, service.url)]

    done = subprocess.run(asked, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert shape(done.stdout) == shape(expected)


def ask(service: Server, path: str, body: Any = None, **headers: str) -> Answer:
    """Ask with headers; a body that is no bytes goes as JSON."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(service.url + path, data, given)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return Answer(response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read())


def invoke(service: Server, body: Any, kind: str = JSON, **headers: str) -> Answer:
    return ask(service, "/invocations", body, Content_Type=kind, **headers)


def invoked(service: Server, body: Any, kind: str = JSON, **headers: str) -> bool:
    """Whether /invocations prices the one house."""
    answer = invoke(service, body, kind, **headers)
    return answer.status == 200 and answer.json() == {
        "predictions": [pytest.approx(price(service))]
    }


def price(service: Server) -> float:
    answer = ask(service, "/v1/models/housing:predict", {"instances": [ROW]})
    return float(answer.json()["predictions"][0])


def predicted(service: Server, parameters: dict[str, object]) -> bool:
    body = {"instances": [HOUSE], "parameters": parameters}
    return ask(service, ROUTES["vertex_predict_route"], body).status == 200


def takes(*flags: str, **variables: str) -> bool:
    try:
        parse(flags, variables)
    except SettingsError:
        return False
    return True


def four_forms(service: Server) -> bool:
    split = {"columns": [*HOUSE], "data": [ROW]}
    forms = {"dataframe_split": split, "dataframe_records": [HOUSE], "instances": [ROW]}
    return all(invoked(service, {name: data}) for name, data in {**forms, "inputs": [ROW]}.items())


def missing_values(service: Server) -> bool:
    by_null = invoke(service, {"dataframe_records": [HOUSE | {"RM": None}]})
    by_cell = invoke(service, b"RM,AGE,LSTAT\n,91.7,18.72\n", "text/csv")
    return 200 in {by_null.status, by_cell.status}


def compressed(service: Server) -> bool:
    body = gzip.compress(json.dumps({"instances": [ROW]}).encode())
    return invoked(service, body, Content_Encoding="gzip")


def in_and_out(service: Server) -> bool:
    bodies = {
        JSON: {"instances": [ROW]},
        "text/csv": b"6.142,91.7,18.72\n",
        "application/jsonlines": b"[6.142,91.7,18.72]\n",
    }
    taken = all(invoked(service, body, kind) for kind, body in bodies.items())
    given = [invoke(service, bodies[JSON], Accept=kind).text.strip() for kind in bodies]
    plain = f"{price(service):g}"[:4]
    return taken and given[0].startswith("{") and all(it.startswith(plain) for it in given[1:])


def by_attributes(service: Server) -> bool:
    """Whether SageMaker's attributes choose the model: then one that is not there is refused."""
    attributes = "tfs-model-name=nobody"
    body = {"instances": [ROW]}
    return invoke(service, body, X_Amzn_SageMaker_Custom_Attributes=attributes).status != 200


def ready(service: Server, agent: str) -> bool:
    answer = ask(service, "/v1/models/housing", User_Agent=agent).json()
    return bool(answer.get("ready", False))


def kserve_routes(service: Server) -> bool:
    listed = ask(service, "/v1/models").json() == {"models": ["housing"]}
    return listed and ask(service, "/").json()["status"] == "alive" and price(service) > 0


def default_version(service: Server) -> bool:
    path = "/v1/models/housing/versions/0"
    answers = [ask(service, path), ask(service, f"{path}/metadata")]
    answers.append(ask(service, f"{path}:predict", {"instances": [ROW]}))
    return all(answer.status == 200 for answer in answers)


def trace_in_error(service: Server) -> bool:
    return "stack_trace" in invoke(service, b"{").json()


SERVE = parse(["serve"], {"SAGEMAKER_BIND_TO_PORT": "8123"})
TRIED: dict[str, Callable[[Server], bool]] = {
    "`dataframe_split`, `dataframe_records`, `instances`, `inputs`": four_forms,
    "`text/csv` with a header row": lambda it: invoked(
        it, b"AGE,RM,LSTAT\n91.7,6.142,18.72\n", "text/csv"
    ),
    "`charset=utf-8`, and no other charset": lambda it: (
        invoked(it, {"instances": [ROW]}, f"{JSON}; charset=utf-8")
        and invoke(it, {"instances": [ROW]}, f"{JSON}; charset=latin-1").status == 415
    ),
    "Extra columns passed over": lambda it: invoked(
        it, {"dataframe_records": [HOUSE | {"TAX": 3}]}
    ),
    "`params.signature_name`": lambda it: (
        invoked(it, {"dataframe_records": [HOUSE], "params": {"signature_name": "named"}})
        and not invoked(it, {"instances": [ROW], "params": {"signature_name": "nobody"}})
    ),
    "`params.level`": lambda it: (
        "lower"
        in invoke(it, {"instances": [ROW], "params": {"level": 0.9}}).json()["predictions"][0]
    ),
    "`gzip` and `deflate` bodies": compressed,
    "Missing values (`null`, an empty cell)": missing_values,
    "`application/vnd.apache.parquet`": lambda it: (
        invoke(it, b"PAR1", "application/vnd.apache.parquet").status != 415
    ),
    "`messages`, `prompt`, `input` of language models": lambda it: any(
        invoke(it, {key: [ROW]}).status == 200 for key in ("messages", "prompt", "input")
    ),
    "A stack trace in the error": trace_in_error,
    "`/ping`, `/invocations`, `serve`, `SAGEMAKER_BIND_TO_PORT`": lambda it: (
        ask(it, "/ping").status == 200 and SERVE.rest_api_port == 8123
    ),
    "`application/json`, `text/csv`, `application/jsonlines` in and out": in_and_out,
    "`signature_name` beside `instances`": lambda it: invoked(
        it, {"instances": [HOUSE], "signature_name": "named"}
    ),
    "`tfs-model-name` in `X-Amzn-SageMaker-Custom-Attributes`": by_attributes,
    "Multi-model mode (`POST /models`)": lambda it: ask(it, "/models", {}).status == 200,
    "`AIP_HTTP_PORT`, `AIP_HEALTH_ROUTE`, `AIP_PREDICT_ROUTE`": lambda it: (
        ask(it, "/alive").status == 200
        and takes(AIP_HTTP_PORT="1", AIP_HEALTH_ROUTE="/a", AIP_PREDICT_ROUTE="/b")
    ),
    "`AIP_STORAGE_URI` as a folder": lambda _: takes(AIP_STORAGE_URI="/mnt/model"),
    "`AIP_STORAGE_URI` as `gs://`": lambda _: takes(AIP_STORAGE_URI="gs://bucket/model"),
    "`parameters.signature_name`": lambda it: predicted(it, {"signature_name": "named"}),
    "`parameters.level`": lambda it: (
        predicted(it, {"level": 0.8}) and not predicted(it, {"level": 0.5})
    ),
    "Other parameters": lambda it: predicted(it, {"interval": 0.9}),
    "`:predict`, `GET /v1/models`, liveness at `GET /`": kserve_routes,
    "`ready` for KServe's client": lambda it: ready(it, "python-httpx/0.28.1"),
    "`ready` for every other client": lambda it: ready(it, "curl/8.5.0"),
    "`:explain`": lambda it: (
        ask(it, "/v1/models/housing:explain", {"instances": [ROW]}).status == 200
    ),
    "Predict, status and metadata of the default version": default_version,
    "`GET /v1/config`, `POST /v1/config/reload`": lambda it: (
        ask(it, "/v1/config").status == 200 or ask(it, "/v1/config/reload", {}).status == 200
    ),
}


def rows() -> dict[str, str]:
    found = re.findall(r"^\| (.+?) \| (yes|no) \|$", DOCUMENT, re.MULTILINE)
    return dict(found)


def test_every_row_of_the_tables_is_tried_and_no_other():
    assert set(TRIED) == set(rows())


@pytest.mark.parametrize("claim", TRIED)
def test_what_a_table_claims_is_so(service: Server, claim: str) -> None:
    assert TRIED[claim](service) is (rows()[claim] == "yes")


def test_every_flag_of_these_protocols_is_in_the_document():
    for flag in ("default_model", "find_model", *ROUTES):
        assert f"--{flag}" in DOCUMENT
