"""Between Flask's requests and answers and this package's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import flask

from service.http.encoding import pack
from service.http.messages import EXCHANGE, Request, Response

if TYPE_CHECKING:
    from service.exchange import Exchange


def keep_exchange(exchange: Exchange) -> None:
    """Keep what is known of the request at hand."""
    flask.request.environ[EXCHANGE] = exchange


def current_exchange() -> Exchange:
    """What is known of the request at hand."""
    return cast("Exchange", flask.request.environ[EXCHANGE])


def raw_path() -> str:
    """The path as it came: percent-encoded, where the server passes it on so."""
    environ: dict[str, Any] = flask.request.environ
    scope = environ.get("asgi.scope")
    if scope is not None and scope.get("raw_path"):
        return str(scope["raw_path"].decode("latin-1"))
    target = str(environ.get("REQUEST_URI") or flask.request.path)
    return target.partition("?")[0]


def to_request(path: str) -> Request:
    """The request at hand, for a protocol.

    Args:
        path: What ``raw_path`` gave.
    """
    request = flask.request
    return Request(
        method=request.method,
        path=path,
        query=request.environ.get("QUERY_STRING", ""),
        headers={name.lower(): value for name, value in request.headers},
        body=request.get_data(),
    )


def to_flask(response: Response) -> flask.Response:
    """An answer as Flask has it."""
    made = flask.Response(response.body, response.status, content_type=response.content_type)
    made.headers.extend(response.headers)
    return made


def packed(body: bytes, content_type: str) -> flask.Response:
    """An answer that is compressed where its caller takes that."""
    packed_body, encoding = pack(body, flask.request.headers.get("Accept-Encoding", ""))
    made = flask.Response(packed_body, content_type=content_type)
    if encoding:
        made.headers["Content-Encoding"] = encoding
    made.vary.add("Accept-Encoding")
    return made
