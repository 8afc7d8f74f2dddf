"""HTTP requests and answers, before any web framework, and who answers them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from service.exchange import Exchange

REQUEST_ID_HEADER: Final = "X-Request-Id"
VERSION_HEADER: Final = "X-Model-Version"
# Bytes of a body up to which reading and running it cost the loop well under a millisecond.
QUICK_BYTES: Final = 16 * 1024
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """A request, whole.

    Attributes:
        method: The HTTP method.
        path: The path, still percent-encoded.
        query: What stood behind the path's question mark, as it came.
        headers: Header values by lower-case name.
        body: The body, as it came.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer.

    Attributes:
        status: The HTTP status.
        body: The body.
        content_type: The body's type.
        headers: Further headers.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


class Api(Protocol):
    """One protocol's routes."""

    def owns(self, path: str) -> bool:
        """Whether a path is one of this protocol's, known or not."""

    def is_quick(self, request: Request) -> bool:
        """Whether a small request costs so little that an event loop may answer it."""

    def answer(self, request: Request, exchange: Exchange) -> Response:
        """Answer a request; whatever goes wrong is answered too, in the protocol's form.

        Args:
            request: The request.
            exchange: Where what is learnt of it is noted, for log and metrics.
        """


def quick_api(apis: Sequence[Api], request: Request) -> Api | None:
    """The protocol that may answer a request on the event loop, if there is one."""
    if len(request.body) > QUICK_BYTES:
        return None
    for api in apis:
        if api.owns(request.path):
            return api if api.is_quick(request) else None
    return None
