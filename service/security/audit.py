"""The audit log: who changed what is served, or tried to, one JSON object a line."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

import orjson

from service.log_stream import LogStream

if TYPE_CHECKING:
    from pathlib import Path

    from service.exchange import Exchange


class AuditLog:
    """Writes a line for every request that needs ``admin``.

    Args:
        path: The file that lines are added to; None for standard output. Several workers may
            write to the same one: a line is written at once.
        stream: In its place, for tests.
    """

    def __init__(self, path: Path | None = None, stream: TextIO | None = None) -> None:
        if stream is None:
            stream = sys.stdout if path is None else path.open("a", buffering=1)
        self._stream = LogStream("the audit log", stream)

    def write(self, exchange: Exchange, status: int | str) -> None:
        """Note one request and what became of it."""
        line = {
            "audit": exchange.route,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "caller": exchange.caller,
            "client": exchange.client,
            "request_id": exchange.request_id,
            "path": exchange.path,
            "concerns": exchange.concerns or exchange.model,
            "status": status,
            "outcome": exchange.outcome,
        }
        self._stream.write(orjson.dumps(line).decode() + "\n")
