"""Takes connections: the more there are, the more at a time.

libuv takes one each time that it asks the kernel what is ready. With a thousand busy connections
there are tens of milliseconds between, and whoever comes then would wait for seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    import socket
    import ssl
    from collections.abc import Callable, Collection
    from logging import Logger

# Connections for each of which one more is taken at a time. A worker with few takes one, and
# leaves the next to its neighbours.
_SHARE: Final = 16


class Listener:
    """Takes the connections of one listening socket.

    Args:
        loop: The event loop.
        sock: Where they come; it does not block.
        begin: Makes the protocol of a connection.
        tls: Of connections that are TLS; None if they are not.
        connections: Those that there are.
        log: Told of connections that did not begin.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        begin: Callable[[], asyncio.Protocol],
        *,
        tls: ssl.SSLContext | None,
        connections: Collection[object],
        log: Logger,
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._begin = begin
        self._tls = tls
        self._connections = connections
        self._log = log
        self._server: asyncio.Server | None = None
        self._beginning: set[asyncio.Task[None]] = set()

    async def start(self, backlog: int) -> None:
        """Take connections from now on.

        Args:
            backlog: How many may wait to be taken. The next of a crowd is dropped by the
                kernel, and comes again a second later.
        """
        self._server = await self._loop.create_server(
            self._begin_several, sock=self._socket, backlog=backlog, ssl=self._tls
        )

    def close(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()

    def _begin_several(self) -> asyncio.Protocol:
        """The protocol of the connection that libuv has taken; others are taken beside it."""
        for _ in range(len(self._connections) // _SHARE):
            try:
                connection, _ = self._socket.accept()
            except OSError:  # there is none, or no room for it: the loop sees to that
                break
            task = self._loop.create_task(self._connect(connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)
        return self._begin()

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._begin, connection, ssl=self._tls)
        except OSError as error:  # of TLS too
            self._log.debug("a connection did not begin: %s", error)
