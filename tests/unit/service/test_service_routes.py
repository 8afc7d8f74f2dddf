from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import HearthError, InvalidRequest
from service.protocols.tensorflow_serving import Route, parse_route

HOUSING = "/v1/models/housing"


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", f"{HOUSING}:predict", Route("predict", "housing")),
        ("POST", f"{HOUSING}/versions/3:predict", Route("predict", "housing", 3)),
        ("POST", f"{HOUSING}/labels/stable:predict", Route("predict", "housing", None, "stable")),
        ("POST", f"{HOUSING}:explain", Route("explain", "housing")),
        ("POST", f"{HOUSING}/versions/3:explain", Route("explain", "housing", 3)),
        ("POST", f"{HOUSING}/labels/stable:explain", Route("explain", "housing", None, "stable")),
        ("GET", f"{HOUSING}/partial_dependence", Route("partial_dependence", "housing")),
        (
            "GET",
            f"{HOUSING}/versions/3/partial_dependence",
            Route("partial_dependence", "housing", 3),
        ),
        ("POST", "/V1/MODELS/housing:predict", Route("predict", "housing")),
        ("GET", HOUSING, Route("status", "housing")),
        ("GET", f"{HOUSING}/versions/0003", Route("status", "housing", 3)),
        ("GET", f"{HOUSING}/labels/a%2Fb", Route("status", "housing", None, "a/b")),
        ("GET", f"{HOUSING}/metadata", Route("metadata", "housing")),
        ("GET", f"{HOUSING}/METADATA", Route("metadata", "housing")),
        ("GET", f"{HOUSING}/versions/2/metadata", Route("metadata", "housing", 2)),
        ("GET", f"{HOUSING}/contract", Route("contract", "housing")),
        ("GET", "/v1/models", Route("models", "")),
        ("GET", "/v1/models/my%3Amodel%2F2", Route("status", "my:model/2")),
        ("GET", f"{HOUSING}/versions/{2**63 - 1}", Route("status", "housing", 2**63 - 1)),
        ("GET", f"{HOUSING}/versions/{'0' * 50}7", Route("status", "housing", 7)),
    ],
)
def test_a_path_is_read_as_tensorflow_serving_reads_it(method, path, route):
    assert parse_route(method, path) == route


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{HOUSING}:predict"),
        ("POST", HOUSING),
        ("POST", f"{HOUSING}:PREDICT"),
        ("POST", f"{HOUSING}:guess"),
        ("GET", f"{HOUSING}:explain"),
        ("POST", f"{HOUSING}/partial_dependence"),
        ("POST", f"{HOUSING}/:predict"),
        ("GET", f"{HOUSING}/"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/foo"),
        ("GET", f"{HOUSING}/version/5"),
        ("GET", f"{HOUSING}/versions/x"),
        ("GET", f"{HOUSING}/versions/-1"),
        ("GET", f"{HOUSING}/versions/٣"),
        ("POST", f"{HOUSING}/versions/1/labels/a:predict"),
        *((method, f"{HOUSING}:predict") for method in ("PUT", "HEAD", "DELETE", "PATCH")),
        ("OPTIONS", HOUSING),
        ("get", HOUSING),
    ],
)
def test_anything_else_is_a_malformed_request(method, path):
    with pytest.raises(InvalidRequest) as refused:
        parse_route(method, path)

    assert refused.value.message == f"Malformed request: {method} {path}"


def test_a_query_is_part_of_what_must_match():
    with pytest.raises(InvalidRequest, match=r"Malformed request: POST .*:predict\?a=1"):
        parse_route("POST", f"{HOUSING}:predict", "a=1")


@pytest.mark.parametrize("path", ["/v1/models/versions/3", "/v1/models/labels/x"])
def test_a_version_without_a_model_is_said_to_lack_the_model(path):
    with pytest.raises(InvalidRequest, match=r"Missing model name in request\."):
        parse_route("GET", path)


@pytest.mark.parametrize("number", [2**63, 10**99, int("9" * 4000), "9" * 9000])
def test_a_version_beyond_64_bits_is_refused(number):
    with pytest.raises(InvalidRequest, match=r"version 9|version 1"):
        parse_route("GET", f"{HOUSING}/versions/{number}")


@given(st.sampled_from(["GET", "POST", "PUT"]), st.text(), st.text())
def test_no_path_makes_it_stumble(method, tail, query):
    for start in ("", "/v1/models/", f"{HOUSING}/versions/"):
        try:
            route = parse_route(method, start + tail, query)
        except HearthError:
            continue
        assert route.verb
