from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import HearthError, InvalidRequest, RouteNotFound
from service.protocols.open_inference import Route, parse_route, parse_version

HOUSING = "/v2/models/housing"


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/v2", Route("server")),
        ("GET", "/v2/", Route("server")),
        ("GET", "/v2/health/live", Route("live")),
        ("GET", "/v2/health/ready", Route("ready")),
        ("GET", "/v2/models", Route("models")),
        ("GET", HOUSING, Route("metadata", "housing")),
        ("GET", f"{HOUSING}/versions/3", Route("metadata", "housing", "3")),
        ("GET", f"{HOUSING}/versions/stable", Route("metadata", "housing", "stable")),
        ("GET", f"{HOUSING}/ready", Route("model_ready", "housing")),
        ("GET", f"{HOUSING}/versions/3/ready", Route("model_ready", "housing", "3")),
        ("GET", f"{HOUSING}/config", Route("config", "housing")),
        ("GET", f"{HOUSING}/versions/3/config", Route("config", "housing", "3")),
        ("GET", f"{HOUSING}/stats", Route("statistics", "housing")),
        ("GET", f"{HOUSING}/versions/3/stats", Route("statistics", "housing", "3")),
        ("GET", "/v2/models/stats", Route("statistics")),
        ("GET", "/v2/models/stats/stats", Route("statistics", "stats")),
        ("POST", f"{HOUSING}/infer", Route("infer", "housing")),
        ("POST", f"{HOUSING}/versions/3/infer", Route("infer", "housing", "3")),
        ("POST", "/v2/models/my%2Fmodel%20x/infer", Route("infer", "my/model x")),
        ("POST", "/v2/repository/index", Route("index")),
        ("POST", "/v2/repository/models/housing/load", Route("load", "housing")),
        ("POST", "/v2/repository/models/housing/unload", Route("unload", "housing")),
    ],
)
def test_a_path_is_read_as_the_protocol_has_it(method, path, route):
    assert parse_route(method, path) == route


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{HOUSING}/infer"),
        ("POST", HOUSING),
        ("POST", "/v2"),
        ("POST", "/v2/models"),
        ("GET", "/v2/models/"),
        ("GET", f"{HOUSING}/versions"),
        ("GET", f"{HOUSING}/versions/1/x"),
        ("GET", "/v2/health"),
        ("DELETE", HOUSING),
        ("GET", "/v2/repository/index"),
        ("GET", "/v2\n"),
    ],
)
def test_any_other_path_is_refused_by_name(method, path):
    with pytest.raises(RouteNotFound) as refused:
        parse_route(method, path)

    assert refused.value.message.startswith(f"{method} {path} is not a route")


@given(st.sampled_from(["GET", "POST"]), st.text(st.characters(codec=None), max_size=80))
def test_no_path_raises_anything_else(method, path):
    try:
        parse_route(method, f"/v2/models/{path}")
    except HearthError as error:
        assert isinstance(error, RouteNotFound)  # noqa: PT017 - that none need be raised is the point


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", (None, None)),
        ("3", (3, None)),
        ("0003", (3, None)),
        (str(2**63 - 1), (2**63 - 1, None)),
        ("stable", (None, "stable")),
        ("-1", (None, "-1")),
        ("٣", (None, "٣")),  # a digit of another script is no number here
    ],
)
def test_a_version_is_a_number_or_a_label(text, meaning):
    assert parse_version(text) == meaning


@pytest.mark.parametrize("text", [str(2**63), "9" * 5000])
def test_a_version_beyond_64_bits_is_refused(text):
    with pytest.raises(InvalidRequest, match="is over the limit 9223372036854775807"):
        parse_version(text)
