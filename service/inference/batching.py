"""Requests that wait are joined into one call: for executors whose call costs more than joining.

Who asks gets a future, so that no thread waits. A few threads of each model version take what
waits, batch by batch, run it as one call, and hand each request its own rows.

References:
    tensorflow/core/kernels/batching_util/shared_batch_scheduler.h and
    tensorflow_serving/batching/batching_session.h, for the parameters' meaning.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol, cast

import numpy as np

from service.errors import Overloaded
from service.inference.batch_queue import BatchQueue, Request, rows_of
from service.inference.futures import Timed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from concurrent.futures import Future

    from service.inference.batch_queue import Outputs
    from service.inference.batching_parameters import BatchingParameters
    from service.inference.executor import Executor, JoiningExecutor, Tensors
    from service.inference.signature import Signature, TensorSpec

_log: Final = logging.getLogger("hearth.inference")

# Threads of a version for requests that are not joined: as many as the transports have.
_THREADS_APART: Final = 4 * (os.cpu_count() or 1)


class BatchObserver(Protocol):
    """Who is told of batches: the metrics."""

    def taken(self, rows: int, size: int, waited_s: Sequence[float]) -> None:
        """A batch is about to be run.

        Args:
            rows: Its requests' rows.
            size: Rows of the call: padding comes on top.
            waited_s: Seconds that each of its requests has waited.
        """


class Batching:
    """Joins requests for the same signature, types and shapes along their first axis.

    Its threads are begun when they are needed, and end when it is dropped and has answered
    what it was asked.

    Args:
        executor: What runs the batches.
        parameters: How.
        alone: Signatures whose requests are not to be joined.
        observer: Who is told of each batch.
        clock: Seconds, from any beginning.

    Attributes:
        name: The executor's.
        signatures: The executor's.
    """

    quick = False
    joins = True

    def __init__(
        self,
        executor: Executor,
        parameters: BatchingParameters,
        alone: Collection[str] = (),
        observer: BatchObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = executor.name
        self.signatures: Mapping[str, Signature] = executor.signatures
        self._parameters = parameters
        fixed = {name for name, it in executor.signatures.items() if not has_batch_axis(it)}
        self._queue = BatchQueue(parameters, clock)
        self._runner = _Runner(executor, parameters, self._queue, fixed.union(alone), observer)
        # The threads hold queue and runner alone, so that nobody but its users holds this.
        weakref.finalize(self, self._queue.close).atexit = False
        # What is not joined is not to wait for a batch, nor a batch for it.
        self._apart = ThreadPoolExecutor(_THREADS_APART, thread_name_prefix="apart")

    @property
    def joined(self) -> list[str]:
        """Names of the signatures whose requests are joined."""
        return sorted(self.signatures.keys() - self._runner.alone)

    @property
    def waiting_rows(self) -> int:
        """Rows of the requests that wait."""
        return self._queue.rows

    @property
    def most_waiting_rows(self) -> int:
        """Rows that may wait; more is refused."""
        return self._parameters.capacity

    @property
    def apart(self) -> Executor:
        """What runs the batches: for calls that are to be joined with none."""
        return self._runner.executor

    def run(self, signature: str, inputs: Tensors) -> Outputs:
        """Compute a signature's outputs, together with others that wait.

        Raises:
            InvalidRequest: There are more rows than a batch may have, or the model cannot
                take arrays of these shapes.
            Overloaded: As much waits as may wait.
        """
        if not self._rows_of_call(signature, inputs):
            return self._runner.executor.run(signature, inputs)
        return self.submit(signature, inputs).result()

    def submit(
        self, signature: str, inputs: Tensors, deadline_s: float = math.inf
    ) -> Future[Outputs]:
        """Have a signature's outputs computed, together with others that wait.

        Args:
            signature: One of ``signatures``.
            inputs: An array for every input of the signature.
            deadline_s: See ``JoiningExecutor.submit``; a call has the latest of its requests'.

        Returns:
            The outputs to be, or the error of ``Executor.run``. Cancelled before its turn
            comes, it is not run.

        Raises:
            InvalidRequest: There are more rows than a batch may have.
            Overloaded: As much waits as may wait.
        """
        of_call = self._rows_of_call(signature, inputs)
        if not of_call:
            executor = self._runner.executor
            if executor.joins:
                return cast("JoiningExecutor", executor).submit(signature, inputs, deadline_s)
            apart: Timed[Outputs] = Timed()
            self._apart.submit(apart.settle, lambda: executor.run(signature, inputs))
            return apart
        request = Request(self._queue, signature, inputs, _rows(inputs), of_call, deadline_s)
        if self._queue.put(request):
            self._begin_worker(request)
        return request

    def _rows_of_call(self, signature: str, inputs: Tensors) -> int:
        """Rows of the largest call that a request is joined in; 0 if it is not joined."""
        rows = 0 if signature in self._runner.alone else _rows(inputs)
        return self._parameters.rows_of_call(rows)

    def _begin_worker(self, request: Request) -> None:
        worker = threading.Thread(target=self._runner.work, name="batching", daemon=True)
        try:
            worker.start()
        except RuntimeError as error:
            # The others, if there are any, will come to it.
            if self._queue.worker_lost() and request.cancel():
                raise Overloaded(f"no thread can be begun to run it: {error}") from error


class _Runner:
    """Runs batches, and gives each request its own rows.

    Args:
        executor: What runs them.
        parameters: How they are padded.
        queue: Where they come from.
        alone: Signatures whose requests are not joined; added to while running.
        observer: Who is told of each batch.
    """

    def __init__(
        self,
        executor: Executor,
        parameters: BatchingParameters,
        queue: BatchQueue,
        alone: set[str],
        observer: BatchObserver | None,
    ) -> None:
        self.executor = executor
        self.alone = alone
        self._parameters = parameters
        self._queue = queue
        self._observer = observer

    def work(self) -> None:
        """Run what comes, until the queue is closed and empty."""
        while self._step():
            pass

    def _step(self) -> bool:
        batch = self._queue.take()
        if batch:
            self._tell(batch)
            self._answer(batch)
            self._queue.ended(batch)
        return batch is not None

    def _tell(self, batch: Sequence[Request]) -> None:
        if self._observer is not None and batch[0].signature not in self.alone:
            rows = sum(it.part_rows for it in batch)
            self._observer.taken(rows, self._parameters.padded(rows), self._queue.waited_s(batch))

    def _answer(self, batch: Sequence[Request]) -> None:
        first = batch[0]
        if first.signature in self.alone:
            for request in batch:
                self._run_whole(request)
            return
        try:
            self._run_as_one(batch)
        except Exception as error:  # noqa: BLE001 - handed to who waits for the answer
            if len(batch) == 1:
                first.set_exception(error)
            else:
                self._answer_each(batch)

    def _answer_each(self, batch: Sequence[Request]) -> None:
        """Run requests one by one, so that none spoils another's answer."""
        for request in batch:
            if not request.done():
                self._answer([request])

    def _run_whole(self, request: Request) -> None:
        try:
            request.set_result(self._run(request.signature, request.inputs, request.deadline_s))
        except Exception as error:  # noqa: BLE001 - handed to who waits for the answer
            request.set_exception(error)

    def _run_as_one(self, batch: Sequence[Request]) -> None:
        signature = batch[0].signature
        rows = sum(it.part_rows for it in batch)
        size = self._parameters.padded(rows)
        deadline_s = max(it.deadline_s for it in batch)
        outputs = self._run(signature, _concatenated(batch, size - rows), deadline_s)
        if all(it.ndim and len(it) == size for it in outputs.values()):
            self._share_out(batch, outputs)
            return
        if signature not in self.alone:
            _log.warning(
                "requests for signature %s are not joined from now on: its outputs have not the "
                "rows of its inputs", signature,
            )  # fmt: skip
            self.alone.add(signature)
        self._answer_each(batch)

    def _run(self, signature: str, inputs: Tensors, deadline_s: float) -> Outputs:
        if self.executor.joins:
            executor = cast("JoiningExecutor", self.executor)
            return executor.submit(signature, inputs, deadline_s).result()
        return self.executor.run(signature, inputs)

    def _share_out(self, batch: Sequence[Request], outputs: Outputs) -> None:
        start = 0
        for request in batch:
            end = start + request.part_rows
            if not request.computed(rows_of(outputs, start, end)):
                self._queue.put_back(request)
            start = end


def has_batch_axis(signature: Signature) -> bool:
    """Whether all tensors may have any number of rows."""
    return all(_any_rows(it) for it in (*signature.inputs.values(), *signature.outputs.values()))


def _any_rows(spec: TensorSpec) -> bool:
    return spec.shape is None or (len(spec.shape) > 0 and spec.shape[0] == -1)


def _rows(inputs: Tensors) -> int:
    """The rows that all inputs have; 0 if they have none, or not the same."""
    rows = -1
    for it in inputs.values():
        size = it.shape[0] if it.ndim else 0
        if rows not in {-1, size}:
            return 0
        rows = size
    return max(rows, 0)


def _concatenated(batch: Sequence[Request], padding: int) -> Tensors:
    """The inputs of a batch one below the other, then copies of the last row."""
    parts = [it.part() for it in batch]
    if len(parts) == 1 and not padding:
        return parts[0]
    last = parts[-1]
    return {
        name: np.concatenate([*(it[name] for it in parts), *([last[name][-1:]] * padding)])
        for name in last
    }
