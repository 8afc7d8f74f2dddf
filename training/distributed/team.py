"""The workers of one training, and what each does when.

Every worker reads its own part of the table and computes its own part of each gradient. The
chief does all that is done once: it says whether anything is to be trained, keeps checkpoints,
evaluates, exports and publishes. The others end with 0 after it has, and never before.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from training import fingerprint, reading
from training.distributed import rendezvous
from training.engine.group import exchange
from training.errors import ClusterError, WorkerLostError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from training.distributed.checkpoint import Checkpoints
    from training.distributed.cluster import Cluster
    from training.distributed.collectives import Ring
    from training.flags import Order
    from training.table import Table

_END_BYTES: Final = 65_536  # of a Parquet file, what says where all the rest is


class Team:
    """The workers, as the chief leads them.

    Args:
        order: How to train.
        ring: All of them.
        made_from: What the training is made from.
    """

    def __init__(self, order: Order, ring: Ring, made_from: fingerprint.Fingerprint) -> None:
        self._order, self._ring = order, ring
        key = msgspec.json.encode(asdict(made_from), order="sorted")
        self._checkpoints = _checkpoints(order, hashlib.sha256(key).hexdigest(), ring)

    def read(self, stack: ExitStack, output: TextIO) -> Table:
        """Read the table, together with the others; see ``reading.read``."""
        return _read(self._order, stack, self._ring, self._checkpoints, output)

    def end(self, version: Path) -> None:
        """Tell the others of the version that was published."""
        self._checkpoints.remove()
        exchange(self._ring, str(version).encode())


def lead(order: Order, made_from: fingerprint.Fingerprint, made: Path | None) -> Team | None:
    """Meet the others, as the chief.

    Args:
        order: How to train, and with whom.
        made_from: What the training would be made from.
        made: The version that is made from it already; None where it is to be trained.

    Returns:
        All workers; None where nothing is to be trained.

    Raises:
        ClusterError: The others did not come, or are not alike.
    """
    _meet(order, "" if made is None else str(made))
    return Team(order, _ring(order), made_from) if made is None else None


def follow(order: Order) -> int:
    """Train a part, as a worker that is not the chief, and wait for what becomes of it.

    Args:
        order: How to train, and with whom.

    Returns:
        The exit code.

    Raises:
        ClusterError: The others did not come, are not alike, or were lost.
        TrainingError: Nothing came of it.
    """
    if made := _meet(order):
        print(f"The chief has {made}, made from the same data, recipe and code.")
        return 0
    ring = _ring(order)
    from training.fit import fit  # noqa: PLC0415 - heavy
    from training.preparation import prepare  # noqa: PLC0415

    with ExitStack() as stack:
        table = _read(order, stack, ring, _checkpoints(order, "", ring))
        prepared = prepare(order.recipe, table.schema, table.split.train)
        fit(order.recipe, table.split, lambda *_: None, prepared, table.feed)
    print("Trained; the chief evaluates and publishes.", flush=True)
    print(f"The chief published {_outcome(order, ring)}.")
    return 0


def _meet(order: Order, made: str = "") -> str:
    """Wait for all workers; give what the chief tells them: the version that is made already."""
    workers = _cluster(order)
    print(f"This is {workers.me}, of {len(workers.tasks)}: waiting for the others.", flush=True)
    return rendezvous.meet(workers, _facts(order), order.worker_wait_s, made, _load)


def _load() -> None:
    from training.distributed import collectives  # noqa: F401, PLC0415 - TensorFlow, when all are there


def _ring(order: Order) -> Ring:
    from training.distributed.collectives import Ring  # noqa: PLC0415 - it is loaded now

    return Ring(_cluster(order))


def _cluster(order: Order) -> Cluster:
    if order.cluster is None:
        raise ValueError("an order of one process has nobody to train with")
    return order.cluster


def _outcome(order: Order, ring: Ring) -> str:
    """The version that the chief published.

    Raises:
        ClusterError: It ended without.
    """
    try:
        return exchange(ring, b"")[0].decode()
    except WorkerLostError as error:
        raise ClusterError(
            f"{_cluster(order).chief}, the chief, ended without a version: its own output says "
            "why. The same command on every worker goes on from the trained network"
        ) from error


def _checkpoints(order: Order, made_from: str, ring: Ring) -> Checkpoints:
    from training.distributed.checkpoint import Checkpoints  # noqa: PLC0415 - TensorFlow

    return Checkpoints(order.model, made_from, ring)


def _read(
    order: Order,
    stack: ExitStack,
    ring: Ring,
    checkpoints: Checkpoints | None,
    output: TextIO | None = None,
) -> Table:
    table = reading.read(order, stack, output, ring)
    feed = table.feed
    if feed is None:
        raise AssertionError("a table that several read streams")
    if 0 in feed.counts:
        idle = feed.counts.index(0)
        raise ClusterError(
            f"worker {idle} of {ring.size} has no row to train on: the table has "
            f"{table.rows}, which is for fewer workers"
        )
    counts = ", ".join(f"{it:,}" for it in feed.counts)
    print(f"Training rows of each worker: {counts}.", flush=True)
    return replace(table, feed=replace(feed, checkpoints=checkpoints))


def _facts(order: Order) -> dict[str, Any]:
    """What all workers must have alike."""
    taken = fingerprint.take(order.recipe, b"")
    return dict(
        [
            *((f"--{name}", value) for name, value in taken.recipe.items()),
            *(("Python" if it == "python" else it, v) for it, v in taken.packages.items()),
            ("code", taken.code_sha256[:12]),
            ("the table", _file(order.data)),
            ("the description", "none" if order.columns is None else _file(order.columns)),
        ]
    )


def _file(path: Path) -> str:
    """A file's size and a hash of its end: to read all of a table takes long."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _END_BYTES))
            end = hashlib.sha256(file.read()).hexdigest()[:12]
    except OSError as error:
        return f"{path}, which cannot be read: {error.strerror}"
    return f"of {size} bytes that end in {end}…"
