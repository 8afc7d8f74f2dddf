"""Requests sent when they are due, whatever has become of those before."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.integration.service.wire import post


@dataclass(frozen=True)
class Outcome:
    """One request.

    Attributes:
        took_s: Seconds from when it was due to its answer.
        ended_s: When the answer was there, on the monotonic clock.
        status: Its status.
        head: Its head.
    """

    took_s: float
    ended_s: float
    status: int
    head: str


class OpenLoop:
    """Sends requests at a rate, each on a connection that is free then.

    Args:
        url: Whom to ask.
        path: What to ask.
        body: The body.
        source: The address to ask from.
    """

    def __init__(self, url: str, path: str, body: bytes, source: str = "127.0.0.1") -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname, address.port
        self._request = post(body, path=path)
        self._source = source
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def run(self, rate: float, seconds: float) -> list[Outcome]:
        """Send ``rate`` requests a second for some seconds, and wait for all answers."""
        began_s = time.monotonic()
        asked = []
        for number in range(int(rate * seconds)):
            due_s = began_s + number / rate
            wait_s = due_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            asked.append(asyncio.create_task(self._ask(due_s)))
        outcomes = await asyncio.gather(*asked)
        for _, writer in self._free:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self._free.clear()
        return outcomes

    async def _ask(self, due_s: float) -> Outcome:
        reader, writer = self._free.pop() if self._free else await self._connect()
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        (length,) = (it for it in head.lower().split("\r\n") if it.startswith("content-length:"))
        await reader.readexactly(int(length.partition(":")[2]))
        ended_s = time.monotonic()
        self._free.append((reader, writer))
        return Outcome(ended_s - due_s, ended_s, int(head.split()[1]), head)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, local_addr=(self._source, 0))
