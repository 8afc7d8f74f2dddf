"""When a request is sent again: the policy is urllib3's ``Retry``, the clock is given.

Every request here may be sent twice: reading changes nothing, and predicting has no side
effects. Only what may pass is tried again: a connection that fails or breaks, an answer
that does not come, 429, 502, 503 and 504.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry

from client import _answers
from client._errors import Unavailable

if TYPE_CHECKING:
    from client._transport import Request, Response, Transport

RETRIED: Final = (429, 502, 503, 504)
_BACKOFF_S: Final = 0.25
_JITTER_S: Final = 0.25
_BACKOFF_MAX_S: Final = 10.0


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Wait that long."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait that long."""
        time.sleep(seconds)


def policy(retries: int) -> Retry:
    """The usual policy: at once, then 0.5, 1, 2 ... 10 s, and up to 0.25 s by chance.

    Args:
        retries: How often a request is sent again, at most.
    """
    return Retry(
        total=retries,
        allowed_methods=None,
        status_forcelist=RETRIED,
        backoff_factor=_BACKOFF_S,
        backoff_jitter=_JITTER_S,
        backoff_max=_BACKOFF_MAX_S,
    )


class Retrying:
    """Sends until there is an answer, the policy ends, or the time is used up.

    Args:
        transport: Sends once.
        retries: The policy.
        clock: Tells the time and waits.
    """

    def __init__(self, transport: Transport, retries: Retry, clock: Clock) -> None:
        self._transport = transport
        self._retries = retries
        self._clock = clock

    def send(self, request: Request) -> Response:
        """Send, and send again where that may help.

        Args:
            request: Its ``timeout_s`` bounds all attempts and the waits between them.

        Returns:
            An answer with a status from 200 to 299.

        Raises:
            HearthError: What the last attempt came to.
        """
        deadline = self._clock.now() + request.timeout_s
        retry = self._retries
        while True:
            try:
                return self.once(request, deadline - self._clock.now())
            except Unavailable as failure:
                failure.attempts = len(retry.history) + 1
                retry = self._next(retry, request, failure)
                self._pause(retry, failure, deadline)

    def once(self, request: Request, timeout_s: float) -> Response:
        """Send once.

        Raises:
            HearthError: What it came to.
        """
        response = self._transport.send(replace(request, timeout_s=timeout_s))
        _answers.check(request, response)
        return response

    def _next(self, retry: Retry, request: Request, failure: Unavailable) -> Retry:
        if failure.status is not None and not retry.is_retry(request.method, failure.status):
            raise failure
        try:
            return retry.increment(request.method, request.url, error=failure)
        except MaxRetryError:
            raise failure from failure.__cause__

    def _pause(self, retry: Retry, failure: Unavailable, deadline: float) -> None:
        """Wait as long as the server asks, else as the policy says; not past the deadline."""
        delay_s = failure.retry_after_s
        if delay_s is None or not retry.respect_retry_after_header:
            delay_s = retry.get_backoff_time()
        if self._clock.now() + delay_s >= deadline:
            raise failure
        self._clock.sleep(delay_s)
