"""How requests are joined: TensorFlow Serving's parameters, their defaults and their limits."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field

from service.errors import InvalidRequest


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are joined; the names and defaults are TensorFlow Serving's.

    Attributes:
        max_batch_size: Rows of the largest batch; a request of more is refused or cut.
        batch_timeout_micros: Microseconds that the oldest request may wait for more rows
            once it could run.
        max_enqueued_batches: Batches of ``max_batch_size`` rows that may wait.
        num_batch_threads: Batches that run at once.
        allowed_batch_sizes: Sizes to pad batches to, increasing; any size if there are none.
        enable_large_batch_splitting: A request of more rows is cut instead of refused.
        max_execution_batch_size: With splitting, rows of the largest call; 0 for
            ``max_batch_size``.
        run_large_whole: A request of more rows is run by itself, neither refused nor cut. No
            parameter of TensorFlow Serving's, as the next: for models nobody set limits for.
        batch_by_batch: The next batch of a signature begins when the last has ended, so that
            it holds all that came meanwhile.

    Raises:
        InvalidRequest: A value makes no sense.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    allowed_batch_sizes: tuple[int, ...] = ()
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0
    run_large_whole: bool = False
    batch_by_batch: bool = False

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise InvalidRequest(f"{name} is {getattr(self, name)}, must be at least 1")
        if self.batch_timeout_micros < 0:
            raise InvalidRequest(
                f"batch_timeout_micros is {self.batch_timeout_micros}, must be at least 0"
            )
        if not 0 <= self.max_execution_batch_size <= self.max_batch_size:
            raise InvalidRequest(
                f"max_execution_batch_size is {self.max_execution_batch_size}, outside "
                f"[1, {self.max_batch_size}] (max_batch_size)"
            )
        self._check_allowed()

    @property
    def call_size(self) -> int:
        """Rows of the largest call."""
        if self.enable_large_batch_splitting and self.max_execution_batch_size:
            return self.max_execution_batch_size
        return self.max_batch_size

    @property
    def capacity(self) -> int:
        """Rows that may wait."""
        return self.max_enqueued_batches * self.max_batch_size

    def rows_of_call(self, rows: int) -> int:
        """Rows of the largest call that a request of so many is joined in; 0 if it is not joined.

        Raises:
            InvalidRequest: A request may not have so many.
        """
        if rows <= self.call_size:
            return rows
        if self.run_large_whole:
            return 0
        if not self.enable_large_batch_splitting:
            # TensorFlow Serving's own words.
            raise InvalidRequest(
                f"Task size {rows} is larger than maximum input batch size {self.max_batch_size}"
            )
        return self.call_size

    def padded(self, rows: int) -> int:
        """The rows that a batch of so many is run with."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)

    def _check_allowed(self) -> None:
        sizes = self.allowed_batch_sizes
        if not sizes:
            return
        if sizes[0] < 1 or any(low >= high for low, high in itertools.pairwise(sizes)):
            raise InvalidRequest(
                f"allowed_batch_sizes are {list(sizes)}, must be at least 1 and increase"
            )
        if sizes[-1] != self.call_size:
            raise InvalidRequest(
                f"the last of allowed_batch_sizes is {sizes[-1]}, must be {self.call_size}, the "
                "most rows of a call"
            )
