"""Who does the units: this process, or several on this machine."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa

from service.score.errors import TableError
from service.score.job import score_unit

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from service.score.job import Job
    from service.score.journal import Done
    from service.score.tables import Unit

# Units that wait for each process, so that none idles.
_AHEAD: Final = 2
# How often in a row processes may die without any unit being done.
_DEATHS: Final = 3


class Engine(Protocol):
    """Does units in any order."""

    def run(self, job: Job, units: Iterator[Unit]) -> Generator[Done, None, None]:
        """Do units.

        Args:
            job: What is done with each.
            units: They; taken one by one as there is room.

        Yields:
            What is done, as it is done.

        Raises:
            TableError: A unit cannot be done.
        """


class InProcess:
    """This process, one unit after the other."""

    def run(self, job: Job, units: Iterator[Unit]) -> Generator[Done, None, None]:
        """See ``Engine``."""
        return (score_unit(job, it) for it in units)


class Processes:
    """Several processes of this machine. One that dies is replaced, and its unit done again.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._count = count

    def run(self, job: Job, units: Iterator[Unit]) -> Generator[Done, None, None]:
        """See ``Engine``; after some deaths without anything done it is given up."""
        again: deque[Unit] = deque()
        deaths = 0
        while deaths < _DEATHS:
            taken: dict[Future[Done], Unit] = {}
            pool = self._pool()
            try:
                for done in _done(pool, job, _next(again, units), taken, self._count * _AHEAD):
                    deaths = 0
                    yield done
            except BrokenProcessPool:
                deaths += 1
                again.extend(sorted(taken.values(), key=lambda it: it.number))
            else:
                return
            finally:
                with _undisturbed():  # a second Ctrl-C would leave processes that wait for ever
                    pool.shutdown(cancel_futures=True)
        raise TableError(
            f"processes died {_DEATHS} times in a row at {again[0].file.place} or after it: is "
            "there too little memory?"
        )

    def _pool(self) -> ProcessPoolExecutor:
        # A fork would take over threads of Arrow that stand still in it.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._count, context, initializer=_begin)


def _next(again: deque[Unit], units: Iterator[Unit]) -> Iterator[Unit]:
    while again:
        yield again.popleft()
    yield from units


def _done(
    pool: ProcessPoolExecutor,
    job: Job,
    units: Iterator[Unit],
    taken: dict[Future[Done], Unit],
    places: int,
) -> Iterator[Done]:
    """Keep so many units in a pool until all are done; ``taken`` are those that are not."""
    while True:
        for unit in itertools.islice(units, places - len(taken)):
            _submit(pool, job, unit, taken)
        if not taken:
            return
        ended, _ = wait(taken, return_when=FIRST_COMPLETED)
        for future in ended:
            result = future.result()
            del taken[future]
            yield result


def _submit(
    pool: ProcessPoolExecutor, job: Job, unit: Unit, taken: dict[Future[Done], Unit]
) -> None:
    with _undisturbed():  # the first begins the processes, which are not to hear it either
        try:
            taken[pool.submit(score_unit, job, unit)] = unit
        except BrokenProcessPool:
            taken[Future()] = unit  # it is to be done again too
            raise


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let Ctrl-C wait until this is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """Make a process of the pool one that takes one core, and ends with who started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
