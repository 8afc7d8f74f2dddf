"""Requests that wait are joined into one call: for executors whose call costs more than joining.

No thread of its own: of the requests that wait, the oldest leads. It takes those that fit
to it, runs them all as one batch, and hands each its own rows.

References:
    tensorflow/core/kernels/batching_util/shared_batch_scheduler.h and
    tensorflow_serving/batching/batching_session.h, for the parameters' meaning.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from service.errors import InternalError, InvalidRequest, Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from service.inference.executor import Executor, Tensors
    from service.inference.signature import Signature, TensorSpec

    Outputs: TypeAlias = dict[str, NDArray[Any]]

_log: Final = logging.getLogger("hearth.inference")


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


@dataclass(eq=False, slots=True)
class _Waiting:
    """A request on its way through a batch.

    Attributes:
        key: Equal for requests that may be joined.
        inputs: Its arrays.
        rows: Their rows.
        since_s: When it came, on the clock.
        woken: Set when it is to lead, and when it has its answer.
        leads: It is to run a batch, and holds the right to.
        outputs: Its answer.
        error: What went wrong instead.
    """

    key: Hashable
    inputs: Tensors
    rows: int
    since_s: float
    woken: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    outputs: Outputs | None = None
    error: Exception | None = None


class Batching:
    """Joins requests for the same signature, types and shapes along their first axis.

    Args:
        executor: What runs the batches.
        parameters: How.
        clock: Seconds, from any beginning.

    Attributes:
        name: The executor's.
        signatures: The executor's.
    """

    quick = False

    def __init__(
        self,
        executor: Executor,
        parameters: BatchingParameters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = executor.name
        self.signatures: Mapping[str, Signature] = executor.signatures
        self._executor = executor
        self._parameters = parameters
        self._clock = clock
        self._alone = {name for name, it in executor.signatures.items() if not _has_batch_axis(it)}
        # All below is guarded by this lock, which a leader that waits for more rows gives back.
        self._arrived = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._queued_rows = 0
        self._running = 0
        self._open: set[Hashable] = set()

    def run(self, signature: str, inputs: Tensors) -> Outputs:
        """Compute a signature's outputs, together with others that wait.

        Raises:
            InvalidRequest: There are more rows than a batch may have, or the model cannot
                take arrays of these shapes.
            Overloaded: As much waits as may wait.
        """
        rows = _rows(inputs)
        if not rows or signature in self._alone:
            return self._executor.run(signature, inputs)
        limit = self._parameters.max_batch_size
        if rows > limit and not self._parameters.enable_large_batch_splitting:
            # TensorFlow Serving's own words.
            raise InvalidRequest(
                f"Task size {rows} is larger than maximum input batch size {limit}"
            )
        if rows > self._parameters.call_size:
            return self._cut(signature, inputs, rows)
        return self._joined(signature, inputs, rows)

    def _cut(self, signature: str, inputs: Tensors, rows: int) -> Outputs:
        """Run a large request piece by piece; whole, if its outputs turn out to have no rows."""
        pieces = []
        for start in range(0, rows, self._parameters.call_size):
            piece = _rows_of(inputs, start, min(start + self._parameters.call_size, rows))
            pieces.append(self._joined(signature, piece, _rows(piece)))
            if signature in self._alone:
                return self._executor.run(signature, inputs)
        return {name: np.concatenate([it[name] for it in pieces]) for name in pieces[0]}

    def _joined(self, signature: str, inputs: Tensors, rows: int) -> Outputs:
        waiting = _Waiting(_key(signature, inputs), inputs, rows, self._clock())
        with self._arrived:
            self._enqueue(signature, waiting)
        waiting.woken.wait()
        if waiting.leads:
            self._lead(signature, waiting)
        if waiting.error is not None:
            raise waiting.error
        if waiting.outputs is None:
            raise InternalError(f"the batch of signature {signature} was given up")
        return waiting.outputs

    def _enqueue(self, signature: str, waiting: _Waiting) -> None:
        limits = self._parameters
        if self._queued_rows + waiting.rows > limits.capacity:
            raise Overloaded(
                f"signature {signature}: {self._queued_rows} rows wait and {waiting.rows} more "
                f"would pass the limit of {limits.capacity} (max_enqueued_batches "
                f"{limits.max_enqueued_batches} x max_batch_size {limits.max_batch_size})"
            )
        self._queue.append(waiting)
        self._queued_rows += waiting.rows
        if waiting.key in self._open:
            self._arrived.notify_all()
        self._dispatch()

    def _dispatch(self) -> None:
        """Give each free right to run to the oldest request that no open batch will take."""
        while self._running < self._parameters.num_batch_threads:
            leader = next((it for it in self._queue if it.key not in self._open), None)
            if leader is None:
                return
            self._remove(leader)
            self._running += 1
            if self._parameters.batch_timeout_micros:
                self._open.add(leader.key)
            leader.leads = True
            leader.woken.set()

    def _remove(self, waiting: _Waiting) -> None:
        self._queue.remove(waiting)
        self._queued_rows -= waiting.rows

    def _lead(self, signature: str, leader: _Waiting) -> None:
        """Run a batch, and pass the right to run on, whatever happens."""
        batch = [leader]
        try:
            batch = self._gather(leader)
            self._answer(signature, batch)
        finally:
            with self._arrived:
                self._running -= 1
                self._dispatch()
            for waiting in batch:
                waiting.woken.set()

    def _gather(self, leader: _Waiting) -> list[_Waiting]:
        """The leader and those that wait and fit to it, oldest first."""
        with self._arrived:
            if leader.key in self._open:
                until_s = leader.since_s + self._parameters.batch_timeout_micros / 1_000_000
                self._arrived.wait_for(
                    lambda: self._is_full(leader), max(0.0, until_s - self._clock())
                )
                self._open.remove(leader.key)
            batch = [leader, *self._mates(leader)]
            for mate in batch[1:]:
                self._remove(mate)
            self._dispatch()  # what did not fit is nobody's to wait for any more
            return batch

    def _is_full(self, leader: _Waiting) -> bool:
        rows = leader.rows + sum(it.rows for it in self._queue if it.key == leader.key)
        return rows >= self._parameters.call_size

    def _mates(self, leader: _Waiting) -> list[_Waiting]:
        free = self._parameters.call_size - leader.rows
        mates = []
        for waiting in self._queue:
            if waiting.key == leader.key:
                free -= waiting.rows
                if free < 0:
                    break
                mates.append(waiting)
        return mates

    def _answer(self, signature: str, batch: Sequence[_Waiting]) -> None:
        try:
            self._run_as_one(signature, batch)
        except Exception as error:  # noqa: BLE001 - each request gets its own error, below
            if len(batch) == 1:
                batch[0].error = error
            else:
                self._run_each(signature, batch)

    def _run_as_one(self, signature: str, batch: Sequence[_Waiting]) -> None:
        rows = sum(it.rows for it in batch)
        size = self._parameters.padded(rows)
        outputs = self._executor.run(signature, _concatenated(batch, size - rows))
        if all(it.ndim and len(it) == size for it in outputs.values()):
            start = 0
            for waiting in batch:
                waiting.outputs = _rows_of(outputs, start, start + waiting.rows)
                start += waiting.rows
            return
        if signature not in self._alone:
            _log.warning(
                "requests for signature %s are not joined from now on: its outputs have not the "
                "rows of its inputs", signature,
            )  # fmt: skip
            self._alone.add(signature)
        if len(batch) == 1 and size == rows:
            batch[0].outputs = outputs
        else:
            self._run_each(signature, batch)

    def _run_each(self, signature: str, batch: Iterable[_Waiting]) -> None:
        """Run requests one by one, so that none spoils another's answer."""
        for waiting in batch:
            try:
                waiting.outputs = self._executor.run(signature, waiting.inputs)
            except Exception as error:  # noqa: BLE001 - raised where the request waits
                waiting.error = error


def _has_batch_axis(signature: Signature) -> bool:
    """Whether all tensors may have any number of rows."""
    return all(_any_rows(it) for it in (*signature.inputs.values(), *signature.outputs.values()))


def _any_rows(spec: TensorSpec) -> bool:
    return spec.shape is None or (len(spec.shape) > 0 and spec.shape[0] == -1)


def _rows(inputs: Tensors) -> int:
    """The rows that all inputs have; 0 if they have none, or not the same."""
    sizes = {it.shape[0] if it.ndim else 0 for it in inputs.values()}
    return sizes.pop() if len(sizes) == 1 else 0


def _key(signature: str, inputs: Tensors) -> Hashable:
    shapes = [(name, it.dtype.str, it.shape[1:]) for name, it in sorted(inputs.items())]
    return (signature, *shapes)


def _rows_of(arrays: Mapping[str, NDArray[Any]], start: int, end: int) -> Outputs:
    return {name: it[start:end] for name, it in arrays.items()}


def _concatenated(batch: Sequence[_Waiting], padding: int) -> Tensors:
    """The inputs of a batch one below the other, then copies of the last row."""
    if len(batch) == 1 and not padding:
        return batch[0].inputs
    last = batch[-1].inputs
    return {
        name: np.concatenate([*(it.inputs[name] for it in batch), *([last[name][-1:]] * padding)])
        for name in last
    }
