"""A Dask cluster does the units.

Needs ``distributed``; workers need the code, and see the model, the table and the output under
the same paths or URLs.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final

from service.score.errors import TableError
from service.score.job import score_unit

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from service.score.job import Job
    from service.score.journal import Done
    from service.score.tables import Unit

# Units that wait for each thread of the cluster, so that none idles.
_AHEAD: Final = 2
_CONNECT_S: Final = 5.0
_ADDRESS: Final = re.compile(r"([a-z]+://)?[^/\s]+:\d+")


class Dask:
    """A Dask cluster; see ``engines.Engine``.

    A worker that dies is Dask's business: it gives the unit to another one. The notes of what is
    done are the workers' own, so that a run whose scheduler died goes on too.

    Args:
        cluster: A client of it, which stays open; or the scheduler's address.
    """

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster

    def run(self, job: Job, units: Iterator[Unit]) -> Generator[Done, None, None]:
        """See ``Engine``."""
        if not isinstance(self._cluster, str):
            yield from _run(self._cluster, job, units)
            return
        with _connected(self._cluster) as client:
            yield from _run(client, job, units)


def _connected(address: str) -> Any:
    from distributed import Client  # noqa: PLC0415 - for a cluster alone

    if not _ADDRESS.fullmatch(address):
        raise TableError(f"scheduler is {address}, not an address such as tcp://head:8786")
    try:
        return Client(address, timeout=_CONNECT_S, set_as_default=False)
    except OSError as error:
        raise TableError(f"no Dask scheduler answers at {address}: {error}") from error


def _run(client: Any, job: Job, units: Iterator[Unit]) -> Generator[Done, None, None]:
    """Keep some units in the cluster until all are done."""
    from distributed import KilledWorker, as_completed  # noqa: PLC0415 - as above

    threads = sum(client.nthreads().values())
    if not threads:
        raise TableError(f"the Dask cluster at {client.scheduler.address} has no workers")
    first = [_submit(client, job, it) for it in itertools.islice(units, _AHEAD * threads)]
    running = set(first)
    try:
        for future in (waiting := as_completed(first, loop=client.loop)):
            yield future.result()
            running.discard(future)
            for unit in itertools.islice(units, 1):
                more = _submit(client, job, unit)
                running.add(more)
                waiting.add(more)
    except KilledWorker as error:
        raise TableError(f"workers died again and again: {error}") from error
    finally:
        client.cancel(list(running))


def _submit(client: Any, job: Job, unit: Unit) -> Any:
    return client.submit(score_unit, job, unit, pure=False)
