"""The hot routes answered on the parser: plain requests that arrive whole.

A connection is gunicorn's. Bytes that are one or more whole, plain requests to a model
that runs in microseconds are answered here, before gunicorn sees them; anything else is
gunicorn's from its first byte on. What a request means is decided by the same functions
either way: this module knows only where a request ends and how an answer is framed.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gunicorn_h1c import H1CProtocol

from service.http.messages import REQUEST_ID_HEADER, Request, Response, quick_api

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.exchange import Exchanges
    from service.http.messages import Api

# A request with one of these asks for more than an answer; gunicorn knows how.
_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te"})
_HTTP_1_1: Final = (1, 1)
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}


class FastLane:
    """Answers the plain requests of one connection.

    Args:
        apis: The protocols, asked in this order.
        exchanges: Begins and ends requests for log and metrics.
        client: The caller's address.
        limits: Limits of a request's head, as gunicorn's parser names them.
    """

    def __init__(
        self, apis: Sequence[Api], exchanges: Exchanges, client: str, limits: dict[str, int]
    ) -> None:
        self._apis = apis
        self._exchanges = exchanges
        self._client = client
        self._body: list[bytes] = []
        self._parser = H1CProtocol(on_body=self._body.append, **limits)

    def answer(self, data: bytes) -> tuple[bytes, bytes]:
        """Answer the whole plain requests that bytes begin with.

        Args:
            data: What has come; its first byte is the first of a request.

        Returns:
            The answers, and the bytes from the first request on that is not answered here.
        """
        answers = []
        while data:
            request = self._parse(data)
            if request is None:
                break
            api = quick_api(self._apis, request)
            if api is None:
                break
            answers.append(self._frame(api, request))
            data = self._parser.remaining()
        return b"".join(answers), data

    def is_one_request(self, data: bytes) -> bool:
        """Whether bytes are exactly one request, so that the next one begins a new read."""
        return self._feed(data) and not self._parser.remaining()

    def _feed(self, data: bytes) -> bool:
        self._body.clear()
        self._parser.reset()
        try:
            self._parser.feed(data)
        except Exception:  # noqa: BLE001 - gunicorn's own parser will say what is wrong
            return False
        return bool(self._parser.is_complete) and not self._parser.remaining_truncated

    def _parse(self, data: bytes) -> Request | None:
        """The request at the beginning, if it is whole and plain."""
        if not self._feed(data):
            return None
        parser = self._parser
        plain = (
            parser.method == b"POST"
            and parser.http_version == _HTTP_1_1
            and parser.should_keep_alive
            and b"%" not in parser.path
        )
        if not plain:
            return None
        headers = {}
        for name, value in parser.asgi_headers:
            # gunicorn has rules of its own for names with an underscore.
            if name in _NOT_PLAIN or b"_" in name:
                return None
            headers[name.decode("latin-1")] = value.decode("latin-1")
        if "host" not in headers:
            return None
        path, _, query = parser.path.decode("latin-1").partition("?")
        return Request("POST", path, query, headers, b"".join(self._body))

    def _frame(self, api: Api, request: Request) -> bytes:
        exchange = self._exchanges.begin(
            request.method,
            request.path,
            self._client,
            request.headers.get("x-request-id"),
        )
        response = api.answer(request, exchange)
        self._exchanges.end(exchange, response.status)
        return _framed(response, exchange.request_id)


def _framed(response: Response, request_id: str) -> bytes:
    further = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    head = (
        f"{_STATUS_LINES[response.status]}"
        f"content-type: {response.content_type}\r\n"
        f"content-length: {len(response.body)}\r\n"
        f"{REQUEST_ID_HEADER}: {request_id}\r\n"
        f"{further}\r\n"
    )
    return head.encode("latin-1") + response.body
