"""Requests that wait to be joined, and which of them make the next batch."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from service.errors import Overloaded
from service.inference.futures import Timed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

    from service.inference.batching_parameters import BatchingParameters
    from service.inference.executor import Tensors

    Outputs: TypeAlias = dict[str, NDArray[Any]]


class Request(Timed["Outputs"]):
    """A request on its way through a batch, and its answer to be.

    Args:
        queue: Where it waits; cancelled, it leaves.
        signature: Name of the signature.
        inputs: Its arrays.
        rows: Their rows.
        rows_of_call: The most of them that one call computes.
        deadline_s: When nobody waits for it any more, on the clock of ``time.perf_counter``.

    Attributes:
        key: Equal for requests that may be joined.
        part_rows: Rows that its next call computes: all, unless it is cut.
        since_s: When it came, on the queue's clock.
    """

    def __init__(
        self,
        queue: BatchQueue,
        signature: str,
        inputs: Tensors,
        rows: int,
        rows_of_call: int,
        deadline_s: float = math.inf,
    ) -> None:
        super().__init__()
        self.signature = signature
        self.inputs = inputs
        self.rows = rows
        self.key = _key(signature, inputs)
        self.part_rows = rows_of_call
        self.deadline_s = deadline_s
        self.since_s = 0.0
        self._queue = queue
        self._pieces: list[Outputs] = []
        self._computed = 0

    def part(self) -> Tensors:
        """The inputs of its next call."""
        if self.part_rows == self.rows:
            return self.inputs
        return rows_of(self.inputs, self._computed, self._computed + self.part_rows)

    def begin(self) -> bool:
        """Whether it is still wanted; from then on it cannot be cancelled."""
        return bool(self._pieces) or self.set_running_or_notify_cancel()

    def computed(self, outputs: Outputs) -> bool:
        """Take what its next call gave; whether that is all."""
        if self.part_rows == self.rows:
            self.set_result(outputs)
            return True
        self._computed += self.part_rows
        self._pieces.append(outputs)
        if self._computed < self.rows:
            self.part_rows = min(self.part_rows, self.rows - self._computed)
            return False
        self.set_result({it: np.concatenate([each[it] for each in self._pieces]) for it in outputs})
        return True

    def cancel(self) -> bool:
        """Give it up, unless it is being run; whether it is given up."""
        if not super().cancel():
            return False
        self._queue.drop(self)
        return True


@dataclass(slots=True)
class _Line:
    """Requests that may be joined, oldest first, and the rows of their next calls."""

    requests: deque[Request] = field(default_factory=deque)
    rows: int = 0


class BatchQueue:
    """Requests in the order of their coming, for workers that take them batch by batch.

    Args:
        parameters: How many may wait, and make a batch.
        clock: Seconds, from any beginning.
    """

    def __init__(self, parameters: BatchingParameters, clock: Callable[[], float]) -> None:
        self._parameters = parameters
        self._capacity = parameters.capacity
        self._clock = clock
        # Reentrant: the collector may close the queue in the midst of anything.
        self._lock = threading.RLock()
        self._came = threading.Condition(self._lock)
        self._more = threading.Condition(self._lock)
        # All below is guarded by the lock.
        self._lines: dict[Hashable, _Line] = {}
        self._open: set[Hashable] = set()
        self._running: set[Hashable] = set()
        self._rows = 0
        self._workers = 0
        self._idle = 0
        self._closed = False

    def __len__(self) -> int:
        """How many requests wait."""
        with self._lock:
            return sum(len(it.requests) for it in self._lines.values())

    @property
    def rows(self) -> int:
        """How many rows wait."""
        return self._rows

    def waited_s(self, batch: Sequence[Request]) -> list[float]:
        """Seconds that each of a batch's requests has waited."""
        now_s = self._clock()
        return [now_s - it.since_s for it in batch]

    def put(self, request: Request) -> bool:
        """Let a request wait.

        Returns:
            Whether it takes another worker, which is counted as if it were there.

        Raises:
            Overloaded: As much waits as may wait.
        """
        request.since_s = self._clock()
        with self._lock:
            if self._rows + request.part_rows > self._capacity:
                self._check_room(request)
            self._append(request)
            if request.key in self._running or self._wake():
                return False
            needed = self._workers < self._parameters.num_batch_threads
            self._workers += needed
            return needed

    def put_back(self, request: Request) -> None:
        """Let a request that is cut wait for its next call, behind the others."""
        request.since_s = self._clock()
        with self._lock:
            self._append(request)
            self._wake()

    def take(self) -> list[Request] | None:
        """Wait for the next batch.

        Returns:
            Requests of one key, oldest first; none if they were given up meanwhile. None once
            the queue is closed and empty.
        """
        with self._lock:
            while (leader := self._leader()) is None:
                if self._closed:
                    return None
                self._idle += 1
                self._came.wait()
            if self._parameters.batch_timeout_micros:
                self._wait_for_more(leader)
            batch = self._pop(leader.key)
            wanted = [it for it in batch if it.begin()]
            if wanted and self._parameters.batch_by_batch:
                self._running.add(leader.key)
            if self._leader() is not None:
                self._wake()
            return wanted

    def ended(self, batch: Sequence[Request]) -> None:
        """A batch has been run; who ran it takes the next one."""
        if self._parameters.batch_by_batch:
            with self._lock:
                self._running.discard(batch[0].key)

    def drop(self, request: Request) -> None:
        """Forget a request, if it waits."""
        with self._lock:
            line = self._lines.get(request.key)
            if line is not None and request in line.requests:
                line.requests.remove(request)
                self._left(line, request)

    def worker_lost(self) -> bool:
        """One that was counted could not be started; whether there is no other."""
        with self._lock:
            self._workers -= 1
            return not self._workers

    def close(self) -> None:
        """Let the workers end once nothing waits any more."""
        with self._lock:
            self._closed = True
            self._idle = 0
            self._came.notify_all()

    def _check_room(self, request: Request) -> None:
        limits, rows = self._parameters, request.part_rows
        if self._rows + rows > limits.capacity:
            raise Overloaded(
                f"signature {request.signature}: {self._rows} rows wait and {rows} more "
                f"would pass the limit of {limits.capacity} (max_enqueued_batches "
                f"{limits.max_enqueued_batches} x max_batch_size {limits.max_batch_size})"
            )

    def _append(self, request: Request) -> None:
        line = self._lines.get(request.key)
        if line is None:
            line = self._lines[request.key] = _Line()
        line.requests.append(request)
        line.rows += request.part_rows
        self._rows += request.part_rows
        if request.key in self._open:
            self._more.notify_all()

    def _left(self, line: _Line, request: Request) -> None:
        line.rows -= request.part_rows
        self._rows -= request.part_rows
        if not line.requests:
            del self._lines[request.key]

    def _wake(self) -> bool:
        """Wake an idle worker, if there is one."""
        if not self._idle:
            return False
        self._idle -= 1
        self._came.notify()
        return True

    def _leader(self) -> Request | None:
        """The oldest request that need not wait for an open batch, or for one that runs."""
        if not self._lines:
            return None
        held = self._open | self._running
        oldest = [it.requests[0] for key, it in self._lines.items() if key not in held]
        return min(oldest, key=lambda it: it.since_s) if oldest else None

    def _wait_for_more(self, leader: Request) -> None:
        """Hold a batch open until it is full, or its oldest request has waited long enough."""
        until_s = leader.since_s + self._parameters.batch_timeout_micros / 1_000_000
        self._open.add(leader.key)
        self._more.wait_for(lambda: self._is_full(leader.key), max(0.0, until_s - self._clock()))
        self._open.remove(leader.key)

    def _is_full(self, key: Hashable) -> bool:
        return key not in self._lines or self._lines[key].rows >= self._parameters.call_size

    def _pop(self, key: Hashable) -> list[Request]:
        batch: list[Request] = []
        free = self._parameters.call_size
        line = self._lines.get(key, _Line())
        while line.requests and (not batch or line.requests[0].part_rows <= free):
            request = line.requests.popleft()
            self._left(line, request)
            free -= request.part_rows
            batch.append(request)
        return batch


def rows_of(arrays: Tensors, start: int, end: int) -> Outputs:
    """Some rows of all arrays, not copied."""
    return {name: it[start:end] for name, it in arrays.items()}


def _key(signature: str, inputs: Tensors) -> Hashable:
    shapes = [(name, it.dtype, it.shape[1:]) for name, it in inputs.items()]
    if len(shapes) > 1:
        shapes.sort(key=lambda it: it[0])
    return (signature, *shapes)
