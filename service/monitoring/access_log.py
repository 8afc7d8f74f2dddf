"""The access log: one JSON object a line on standard output, for the requests asked for."""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

import orjson

from service.errors import InvalidRequest
from service.log_stream import LogStream

if TYPE_CHECKING:
    from service.exchange import Exchange


@dataclass(frozen=True)
class LogPolicy:
    """Which requests are logged.

    Attributes:
        errors: Those that failed or were slow.
        share: Of the others, this share in [0, 1].
    """

    errors: bool
    share: float


def parse_access_log(text: str) -> LogPolicy:
    """Read ``off``, ``errors``, ``sampled:RATE`` or ``all``.

    Raises:
        ValueError: It is none of these.
    """
    simple = {"off": (False, 0.0), "errors": (True, 0.0), "all": (True, 1.0)}
    if text in simple:
        return LogPolicy(*simple[text])
    kind, _, rate = text.partition(":")
    try:
        share = float(rate) if kind == "sampled" else -1.0
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"is {text!r}, not off, errors, all or sampled:RATE with RATE in [0, 1]")
    return LogPolicy(errors=True, share=share)


def _and_below(kind: type[Exception]) -> set[str]:
    return {kind.__name__}.union(*map(_and_below, kind.__subclasses__()))


# Their messages quote the request, which is nobody's business but its caller's.
_QUOTING: Final = frozenset(_and_below(InvalidRequest))


class AccessLog:
    """Writes a line a request, as the policy says.

    Args:
        policy: Which requests.
        slow_s: Seconds from which a request counts as slow.
        stream: Where to.

    Attributes:
        policy: Which requests.
        slow_s: Seconds from which a request counts as slow.
    """

    def __init__(self, policy: LogPolicy, slow_s: float, stream: TextIO | None = None) -> None:
        self.policy = policy
        self.slow_s = slow_s
        self._stream = LogStream("the access log", sys.stdout if stream is None else stream)

    def write(self, exchange: Exchange, status: int | str, seconds: float) -> None:
        """Log one request, if it is one of those to be logged."""
        if self._wanted(exchange.outcome, seconds):
            self._stream.write(_line(exchange, status, seconds))

    def _wanted(self, outcome: str, seconds: float) -> bool:
        if self.policy.errors and (outcome != "ok" or seconds >= self.slow_s):
            return True
        share = self.policy.share
        return share > 0 and (share >= 1 or random.random() < share)  # noqa: S311 - a sample


def _line(exchange: Exchange, status: int | str, seconds: float) -> str:
    return (
        orjson.dumps(
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "request_id": exchange.request_id,
                "trace_id": "" if exchange.trace is None else exchange.trace.id,
                "client": exchange.client,
                "caller": exchange.caller,
                "method": exchange.method,
                "path": exchange.path,
                "status": status,
                "outcome": exchange.outcome,
                "model": exchange.model,
                "version": exchange.version,
                "rows": exchange.rows,
                "duration_ms": round(seconds * 1000, 3),
                "error": "" if exchange.outcome in _QUOTING else exchange.error,
            }
        ).decode()
        + "\n"
    )
