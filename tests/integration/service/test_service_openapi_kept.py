"""The service keeps to its OpenAPI document, whatever is made up from it: schemathesis tries."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import ROOT, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

pytestmark = pytest.mark.timeout(300)
HOOKS = "tests.integration.service.schemathesis_hooks"
ALWAYS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
# Bare text that is called JSON: so MLflow's own server answers.
NO_JSON = "/version"
# No schema can say that there must be as many numbers as the shape asks for, that all rows must
# have the same further columns, or that a number must be written with a point.
BY_SHAPE = "(/(infer|invocations)|:(classify|regress))$"


@pytest.fixture(scope="module")
def service(housing_models) -> Iterator[Server]:
    flags = {"vertex_health_route": "/ai/health", "vertex_predict_route": "/ai/predict"}
    with running_service(housing_models, **flags) as running:
        yield running


def outcome(service: Server, tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{service.url}/openapi.json",
        *("--max-examples", "25", "--generation-deterministic", "--no-color"),
        *("--phases", "examples,coverage,fuzzing", "--request-timeout", "10"),
        *flags,
    ]
    hooks = {"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=tmp_path, env=os.environ | hooks,
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_what_fits_the_document_is_accepted_and_what_does_not_is_refused(service, tmp_path):
    checks = (*ALWAYS, "positive_data_acceptance", "negative_data_rejection")
    done = outcome(
        service,
        tmp_path,
        *("--checks", ",".join(checks), "--exclude-path", NO_JSON),
        *("--exclude-path-regex", BY_SHAPE),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Tested: [1-9]", done.stdout), done.stdout


def test_tensors_and_tables_of_any_shape_are_answered_as_the_document_says(service, tmp_path):
    checks = (*ALWAYS, "negative_data_rejection")
    done = outcome(
        service, tmp_path, "--checks", ",".join(checks), "--include-path-regex", BY_SHAPE
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_route_of_the_document_is_there(service):
    described = service.get("/openapi.json").json()
    for path, item in described["paths"].items():
        if "get" in item:
            given = path.replace("{version}", "1")
            assert service.get(given).status == 200, given
