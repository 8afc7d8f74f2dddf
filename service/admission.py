"""How much a worker takes on at once: what is over the limits is refused before it waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from service.errors import Overloaded
from service.security.callers import ANONYMOUS

if TYPE_CHECKING:
    from service.exchange import Exchange

_NOBODY: Final = frozenset({"", ANONYMOUS})


class Place(NamedTuple):
    """What a request in flight takes up.

    Attributes:
        client: Whose it is.
        size: Bytes of its body.
    """

    client: str
    size: int


class Admission:
    """Counts requests and bytes in flight, over REST and gRPC together.

    A client may have no more requests in flight than there are places left, so that a lone one
    gets half of them, each of two a third, and whoever comes anew finds room.

    Args:
        most_requests: Requests that may be in flight.
        most_bytes: Bytes of their bodies, and of those that the front still reads.

    References:
        Choudhury and Hahne, Dynamic queue length thresholds for shared-memory packet switches,
        IEEE/ACM Transactions on Networking 6(2), 1998.
    """

    def __init__(self, most_requests: int, most_bytes: int) -> None:
        self._most_requests = most_requests
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._requests = 0
        self._bytes = 0

    def take(self, exchange: Exchange, size: int) -> Place:
        """Take a request on; its place must be given back.

        Raises:
            Overloaded: There is no room for it.
        """
        client = client_of(exchange)
        with self._lock:
            left = self._most_requests - self._requests
            held = self._held.get(client, 0)
            if held >= left:
                raise Overloaded(
                    f"{self._requests} requests are in flight, {held} of them of this client; the "
                    f"limits are {self._most_requests} and what is left of them"
                )
            self._add(size)
            self._requests += 1
            self._held[client] = held + 1
        return Place(client, size)

    def give(self, place: Place) -> None:
        """A request is no longer in flight."""
        with self._lock:
            self._requests -= 1
            self._bytes -= place.size
            held = self._held[place.client] - 1
            if held:
                self._held[place.client] = held
            else:
                del self._held[place.client]

    def hold(self, size: int) -> None:
        """Bytes of a body have come that is not whole; they must be released.

        Raises:
            Overloaded: There is no room for them.
        """
        with self._lock:
            self._add(size)

    def release(self, size: int) -> None:
        """Bytes of such a body are gone, or are a request's now."""
        with self._lock:
            self._bytes -= size

    def _add(self, size: int) -> None:
        # One request is always taken: how large it may be is another limit.
        if self._bytes and self._bytes + size > self._most_bytes:
            raise Overloaded(
                f"{self._bytes} bytes are in flight; with {size} more it is over the "
                f"limit of {self._most_bytes}"
            )
        self._bytes += size


def client_of(exchange: Exchange) -> str:
    """Whose a request is: the caller's name, or else its address."""
    return exchange.client if exchange.caller in _NOBODY else exchange.caller
