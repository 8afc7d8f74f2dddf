"""Takes connections: the more there are, the more at a time.

libuv takes one each time that it asks the kernel what is ready. With a thousand busy connections
there are tens of milliseconds between, and whoever comes then would wait for seconds.

Connections of TLS are taken without libuv's server: that counts none whose handshake is not over,
and they would be as many as anybody cares to open.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
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
        sock: Where they come; it does not block.
        begin: Makes the protocol of a connection.
        tls: What connections are encrypted with, and the seconds that a handshake may take; None
            for plain text.
        connections: Those that there are.
        most: As many there may be, those whose handshake is under way included.
        log: Told of connections that did not begin.
    """

    def __init__(
        self,
        sock: socket.socket,
        begin: Callable[[], asyncio.Protocol],
        *,
        tls: tuple[ssl.SSLContext, float] | None,
        connections: Collection[object],
        most: int,
        log: Logger,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._begin = begin
        self._tls = tls
        self._most = most
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
        if self._tls is not None:
            self._socket.listen(backlog)
            self._loop.add_reader(self._socket, self._take_several, 1)
            return
        self._server = await self._loop.create_server(
            self._begin_several, sock=self._socket, backlog=backlog
        )

    def close(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()
        elif self._tls is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _begin_several(self) -> asyncio.Protocol:
        """The protocol of the connection that libuv has taken; others are taken beside it."""
        self._take_several(0)
        return self._begin()

    def _take_several(self, least: int) -> None:
        for _ in range(max(least, len(self._connections) // _SHARE)):
            try:
                connection, _ = self._socket.accept()
            except OSError:  # there is none, or no room for it: the loop sees to that
                break
            if self._tls is not None and self._is_full:
                connection.close()  # to say more would take a handshake
                continue
            task = self._loop.create_task(self._connect(connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    @property
    def _is_full(self) -> bool:
        return len(self._connections) + len(self._beginning) >= self._most

    async def _connect(self, connection: socket.socket) -> None:
        context, limit_s = self._tls or (None, None)
        try:
            await self._loop.connect_accepted_socket(
                self._begin, connection, ssl=context, ssl_handshake_timeout=limit_s
            )
        except OSError as error:  # of TLS too
            self._log.debug("a connection did not begin: %s", error)
