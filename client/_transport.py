"""The one seam to the network: a request goes in, a response comes out.

Whatever has ``send`` is a transport. ``HttpTransport`` is the real one, over one pool of
kept-alive connections. A transport sends once: retries are made above it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, Self

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from client._credentials import Credentials
from client._errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_TIMEOUT_S: Final = 3.0
CONNECTIONS: Final = 10
_PIECE_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        method: ``GET`` or ``POST``.
        url: Where, in full.
        body: JSON; empty for GET.
        timeout_s: How long the answer may take in all, seconds.
        request_id: The id that it carries; None for none.
    """

    method: str
    url: str
    body: bytes = b""
    timeout_s: float = 30.0
    request_id: str | None = None


@dataclass(frozen=True)
class Response:
    """What was answered.

    Attributes:
        status: The HTTP status.
        headers: By name, in whatever case.
        body: The whole body, decoded from its transfer form.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Value of a header, whatever its case; None where it is absent."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), None)


class Transport(Protocol):
    """What carries a request to a server and its response back."""

    def send(self, request: Request) -> Response:
        """Send once and read the whole answer.

        Raises:
            Unavailable: No connection, a broken one, or no answer in time.
            InvalidRequest: The address cannot be spoken to at all.
        """


class HttpTransport:
    """HTTP over one pool of kept-alive connections; threads may share it.

    Args:
        connect_timeout_s: How long a connection may take to open, seconds.
        read_timeout_s: How long the server may stay silent, seconds; None: as long as
            the request's own timeout allows.
        pool: A pool to use instead of an own one (certificates, proxies, headers for
            every request); who gave it closes it.
        credentials: What to show and whom to trust; not beside ``pool``.
    """

    def __init__(
        self,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float | None = None,
        pool: urllib3.PoolManager | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        if pool is not None and credentials is not None:
            raise ValueError("give credentials or a pool that has them, not both")
        shown = Credentials() if credentials is None else credentials
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._owns_pool = pool is None
        self._pool = (
            urllib3.PoolManager(maxsize=CONNECTIONS, headers=shown.headers, **shown.tls)
            if pool is None
            else pool
        )

    def send(self, request: Request) -> Response:
        """Send once and read the whole answer.

        Redirects are not followed: they come back as they are.

        Raises:
            Unavailable: No connection, a broken one, or no answer in time.
            InvalidRequest: The address or its certificate is wrong.
        """
        deadline = time.monotonic() + request.timeout_s
        try:
            answer = self._open(request)
            return Response(answer.status, answer.headers, _read(answer, deadline))
        except (LocationValueError, SSLError) as error:
            raise InvalidRequest(f"cannot be spoken to: {error}", url=request.url) from error
        except HTTPError as error:
            raise Unavailable(self._reason(error, request), url=request.url) from error

    def close(self) -> None:
        """Close the connections, unless the pool was given."""
        if self._owns_pool:
            self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self, request: Request) -> urllib3.BaseHTTPResponse:
        return self._pool.request(
            request.method,
            request.url,
            body=request.body or None,
            headers={**self._pool.headers, **_headers(request)},
            timeout=urllib3.Timeout(
                total=max(request.timeout_s, 0.001),  # urllib3 refuses 0
                connect=self._connect_timeout_s,
                read=self._read_timeout_s,
            ),
            retries=False,
            redirect=False,
            preload_content=False,
        )

    def _reason(self, error: HTTPError, request: Request) -> str:
        if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
            return f"no connection within {min(self._connect_timeout_s, request.timeout_s):.3g} s"
        if isinstance(error, ReadTimeoutError):
            limit = min(self._read_timeout_s or request.timeout_s, request.timeout_s)
            return f"no answer within {limit:.3g} s"
        return _system_reason(error) or f"the connection broke: {error}"


def _headers(request: Request) -> dict[str, str]:
    headers = {"Accept": "application/json", "User-Agent": "hearth-client"}
    if request.request_id is not None:
        headers["X-Request-Id"] = request.request_id
    return {**headers, "Content-Type": "application/json"} if request.body else headers


def _read(answer: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Read a body piece by piece, so that one that dribbles in ends at the deadline too."""
    pieces = []
    while piece := answer.read1(_PIECE_BYTES):
        pieces.append(piece)
        if time.monotonic() > deadline:
            answer.close()
            raise HTTPError("the answer was still coming in at the deadline")
    answer.release_conn()
    return b"".join(pieces)


def _system_reason(error: BaseException) -> str | None:
    """The operating system's own words for it, where it is behind the error."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror[0].lower() + link.strerror[1:]
        link = link.__cause__ or link.__context__
    return None
