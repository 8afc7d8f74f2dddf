from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import errors
from service.errors import HearthError
from service.protocols.tensorflow_serving import STATUS_OF, encode_error


def subclasses(kind: type[HearthError]) -> list[type[HearthError]]:
    return [kind, *(it for child in kind.__subclasses__() for it in subclasses(child))]


def made(kind: type[HearthError], text: str = "why") -> HearthError:
    return kind(text)


ALL = subclasses(HearthError)[1:]
# The table of TensorFlow Serving's ToHTTPStatusCode, and of RFC 9110 where it has no row.
EXPECTED = {
    errors.InvalidRequest: 400,
    errors.PayloadTooLarge: 413,
    errors.RequestTimeout: 408,
    errors.SignatureNotFound: 400,
    errors.NotSupported: 501,
    errors.NotPossibleNow: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.RouteNotFound: 404,
    errors.ModelNotFound: 404,
    errors.NotReady: 503,
    errors.Overloaded: 429,
    errors.RateLimited: 429,
    errors.DeadlineExceeded: 504,
    errors.InternalError: 500,
    errors.VersionRefused: 503,
}


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_a_status_and_a_body_that_says_it(kind):
    status, body = encode_error(made(kind))

    assert status == EXPECTED[kind]
    assert "why" in json.loads(body)["error"]


def test_the_status_table_names_only_errors_that_exist():
    assert set(STATUS_OF) <= set(ALL)


def test_the_tree_in_the_docstring_is_the_tree():
    assert {kind.__name__ for kind in ALL} <= set(errors.__doc__.split())


@given(st.text(st.characters(codec=None), max_size=3000))
def test_whatever_an_error_says_can_be_sent(text):
    status, body = encode_error(errors.InvalidRequest(text))

    assert status == 400
    assert json.loads(body.decode())["error"] is not None


def test_a_message_is_cut_where_tensorflow_serving_cuts_its_own():
    message = errors.InvalidRequest("x" * 5000).message

    assert message == "x" * 1024 + "...TRUNCATED"
    assert errors.InvalidRequest("x" * 1024).message == "x" * 1024


def test_half_a_surrogate_pair_does_not_leave_the_service():
    assert errors.InvalidRequest("a\ud800b").message == "a?b"
