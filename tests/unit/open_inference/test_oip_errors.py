"""Every error has its number in both forms of the protocol."""

from __future__ import annotations

import json

import pytest
from grpc import StatusCode

from service import errors
from service.errors import HearthError
from service.protocols import open_inference, open_inference_grpc


def subclasses(kind: type[HearthError]) -> list[type[HearthError]]:
    return [kind, *(it for child in kind.__subclasses__() for it in subclasses(child))]


ALL = subclasses(HearthError)[1:]
# Triton's numbers where it has such an error (src/grpc/grpc_utils.cc, src/http_server.cc), else
# those of RFC 9110 and of gRPC's own text on its codes.
EXPECTED = {
    errors.InvalidRequest: (400, StatusCode.INVALID_ARGUMENT),
    errors.PayloadTooLarge: (413, StatusCode.RESOURCE_EXHAUSTED),
    errors.RequestTimeout: (408, StatusCode.DEADLINE_EXCEEDED),
    errors.SignatureNotFound: (400, StatusCode.INVALID_ARGUMENT),
    errors.NotSupported: (501, StatusCode.UNIMPLEMENTED),
    errors.NotPossibleNow: (400, StatusCode.FAILED_PRECONDITION),
    errors.Unauthenticated: (401, StatusCode.UNAUTHENTICATED),
    errors.Forbidden: (403, StatusCode.PERMISSION_DENIED),
    errors.NotFound: (404, StatusCode.NOT_FOUND),
    errors.RouteNotFound: (404, StatusCode.NOT_FOUND),
    errors.ModelNotFound: (404, StatusCode.NOT_FOUND),
    errors.NotReady: (503, StatusCode.UNAVAILABLE),
    errors.Overloaded: (429, StatusCode.RESOURCE_EXHAUSTED),
    errors.RateLimited: (429, StatusCode.RESOURCE_EXHAUSTED),
    errors.DeadlineExceeded: (504, StatusCode.DEADLINE_EXCEEDED),
    errors.InternalError: (500, StatusCode.INTERNAL),
    errors.VersionRefused: (400, StatusCode.FAILED_PRECONDITION),
}


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_its_status_and_the_protocols_body(kind):
    status, body = open_inference.encode_error(kind("why"))

    assert status == EXPECTED[kind][0]
    assert json.loads(body).keys() == {"error"}
    assert "why" in json.loads(body)["error"]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_its_code(kind):
    code, message = open_inference_grpc.encode_error(kind("why"))

    assert code == EXPECTED[kind][1]
    assert "why" in message


@pytest.mark.parametrize("table", [open_inference.STATUS_OF, open_inference_grpc.CODE_OF])
def test_the_tables_name_only_errors_that_exist(table):
    assert set(table) <= set(ALL)
