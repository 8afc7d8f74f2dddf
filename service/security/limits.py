"""How often a caller may ask: a bucket of tokens for each."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from service.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable


class Bucket:
    """Holds up to ``burst`` tokens, gains ``rate`` a second; a request takes one.

    Args:
        rate: Requests a second in the long run.
        burst: Requests that may come at once.
        clock: Seconds that only grow.
    """

    __slots__ = ("_burst", "_clock", "_rate", "_seen_s", "_tokens")

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._seen_s = clock()

    def take(self) -> None:
        """Take a token.

        Raises:
            RateLimited: There is none.
        """
        now_s = self._clock()
        tokens = min(self._burst, self._tokens + (now_s - self._seen_s) * self._rate)
        self._seen_s = now_s
        if tokens < 1:
            self._tokens = tokens
            raise RateLimited(
                f"more than {self._rate:g} requests a second", math.ceil((1 - tokens) / self._rate)
            )
        self._tokens = tokens - 1


class Limits:
    """The buckets of one worker.

    Args:
        rate: Requests a second of a caller for which nothing else is said, in all workers; 0
            for any number.
        burst: Requests at once, in all workers; 0 for those of one second.
        workers: Among how many workers they are shared out.
        clock: Seconds that only grow.
    """

    # Callers by address that are kept apart; beyond, all begin anew.
    MOST = 10_000

    def __init__(
        self,
        rate: float = 0.0,
        burst: float = 0.0,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._workers = workers
        self._clock = clock
        self._buckets: dict[tuple[str, float], Bucket] = {}

    @property
    def limited(self) -> bool:
        """Whether callers are limited of whom nothing else is said."""
        return self._rate > 0

    def bucket(self, name: str, rate: float | None) -> Bucket | None:
        """The bucket of a caller.

        Args:
            name: The caller.
            rate: Its own requests a second; None for what holds for all.

        Returns:
            The same one for the same name and rate; None if it may ask as often as it likes.
        """
        wanted = self._rate if rate is None else rate
        if not wanted:
            return None
        if (name, wanted) not in self._buckets:
            if len(self._buckets) >= self.MOST:
                self._buckets.clear()
            self._buckets[name, wanted] = self._new(wanted)
        return self._buckets[name, wanted]

    def _new(self, rate: float) -> Bucket:
        share = rate / self._workers
        burst = (self._burst or rate) / self._workers
        return Bucket(share, max(1.0, burst), self._clock)
