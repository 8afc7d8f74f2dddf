"""The heads of plain requests, read once: a client sends the same one again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from gunicorn_h1c import H1CProtocol

from service.exchange import OBSERVE, is_observed
from service.http.messages import REQUEST_ID_HEADER, Api, Request, find_api
from service.security.guard import Asked, Guard, shown_by
from service.security.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from service.http.messages import Shortcut

END: Final = b"\r\n\r\n"
_REQUEST_ID: Final = REQUEST_ID_HEADER.lower()
# A request with one of these asks for more than an answer; gunicorn knows how.
_NOT_PLAIN: Final = frozenset({"transfer-encoding", "expect", "upgrade", "trailer", "te"})
# Heads with one of these differ from request to request.
_UNIQUE: Final = frozenset({_REQUEST_ID, "traceparent"})
_HTTP_1_1: Final = (1, 1)
# Bytes of a body up to which a shortcut is worth a try: a few rows.
_SHORT_BYTES: Final = 1024
_KEPT_HEADS: Final = 1024
_KEPT_BYTES: Final = 2048


class Head(msgspec.Struct, frozen=True):
    """What the head of a plain request says.

    Attributes:
        api: The protocol that the request speaks.
        light: What ``Api.is_light`` says of it.
        path: The path, still percent-encoded.
        query: What stood behind the path's question mark.
        headers: Header values by lower-case name.
        body_bytes: Bytes of the body that follows.
        request_id: The caller's own id, where there is one.
        shortcut: What ``Api.shortcut`` gives for it.
        asked: What the guard is asked, but for what it needs to know of the connection; None
            where nothing is needed.
        observed: Whether it is a real case.
    """

    api: Api
    light: bool
    path: str
    query: str
    headers: Mapping[str, str]
    body_bytes: int
    request_id: str | None
    shortcut: Shortcut | None
    asked: Asked | None = None
    observed: bool = True


class Heads:
    """Reads heads, and remembers those that come often.

    Args:
        apis: The protocols, asked in this order.
        limits: Limits of a head, as gunicorn's parser names them.
        max_body_bytes: The most that a body may have.
        guard: Says what each path needs.

    Attributes:
        known: Heads that have been read, by their text; None for one that is not plain.
    """

    def __init__(
        self,
        apis: Sequence[Api],
        limits: Mapping[str, int],
        max_body_bytes: int,
        guard: Guard | None = None,
    ) -> None:
        self._apis = apis
        self._guard = Guard() if guard is None else guard
        self._max_body_bytes = max_body_bytes
        self.known: dict[bytes, Head | None] = {}
        self._complete = False
        self._parser = H1CProtocol(on_headers_complete=self._on_complete, **limits)

    def read(self, text: bytes) -> Head | None:
        """Read a head.

        Args:
            text: From a request's first byte to the empty line, which it includes.

        Returns:
            What it says; None unless it is a plain POST to a protocol's route.
        """
        try:
            return self.known[text]
        except KeyError:
            head = self._parse(text)
        if len(text) <= _KEPT_BYTES and (head is None or _UNIQUE.isdisjoint(head.headers)):
            if len(self.known) >= _KEPT_HEADS:
                self.known.clear()
            self.known[text] = head
        return head

    def _on_complete(self) -> bool:
        self._complete = True
        return False

    def _parse(self, text: bytes) -> Head | None:
        if not text.count(b"\n") == text.count(b"\r") == text.count(b"\r\n"):
            return None  # who else reads it may see its end in another place
        self._complete = False
        self._parser.reset()
        try:
            self._parser.feed(text)
        except Exception:  # noqa: BLE001 - gunicorn's own parser will say what is wrong
            return None
        return self._plain() if self._complete else None

    def _plain(self) -> Head | None:
        """The head just parsed, if it is plain."""
        parser = self._parser
        plain = (
            parser.method == b"POST"
            and parser.http_version == _HTTP_1_1
            and parser.should_keep_alive
            and b"%" not in parser.path
        )
        pairs = [(name.decode("latin-1"), it.decode("latin-1")) for name, it in parser.asgi_headers]
        headers = dict(pairs)
        # gunicorn has rules of its own for names with an underscore.
        odd = len(headers) != len(pairs) or any(it in _NOT_PLAIN or "_" in it for it in headers)
        length = headers.get("content-length", "0")
        if not plain or odd or "host" not in headers or int(length) > self._max_body_bytes:
            return None
        path, _, query = parser.path.decode("latin-1").partition("?")
        api = find_api(self._apis, path)
        if api is None:
            return None
        needed = self._guard.needed("POST", path)
        if needed is Scope.ADMIN:
            return None  # the front knows what else to look at
        light = api.is_light("POST", path, headers)
        short = light and int(length) <= _SHORT_BYTES
        shortcut = api.shortcut(Request("POST", path, query, headers)) if short else None
        own_id = headers.get(_REQUEST_ID)
        asked = None if needed is None else Asked(shown_by(headers), (), needed)
        return Head(
            *(api, light, path, query, headers, int(length), own_id, shortcut, asked),
            observed=is_observed(headers.get(OBSERVE)),
        )
