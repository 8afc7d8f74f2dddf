"""What one process does: it works on the questions in turn, beside others of its kind."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from training import table
from training.errors import StorageError, TableError
from training.experiments.crossvalidation import identity
from training.experiments.questions import QUESTIONS, TUTORIAL
from training.experiments.store import Store
from training.split import Rows, split

if TYPE_CHECKING:
    from pathlib import Path

    from training.experiments.crossvalidation import Plan, Result
    from training.experiments.questions import Asked, Setting


@dataclass(frozen=True)
class Order:
    """What a command line asks for.

    Attributes:
        data: The table.
        storage: The database's URL.
        questions: Names of the questions.
        plan: How often each setting is tried.
        jobs: Processes.
        grace_s: Seconds without a sign of life after which another's trial counts as lost.
        report: The page to write.
        docs: The folder of the docs to write the copy into, or None.
    """

    data: Path
    storage: str
    questions: tuple[str, ...]
    plan: Plan
    jobs: int
    grace_s: int
    report: Path
    docs: Path | None


def work(order: Order) -> None:
    """Work on the questions in turn, until all is done or who started this process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the first process's to answer
    rows, _ = training_rows(order)
    try:
        for name in order.questions:
            open_store(order, name).work(partial(_compute, QUESTIONS[name], rows, order.plan))
    except StorageError as error:
        sys.exit(str(error))


def _compute(question: Asked, rows: Rows, plan: Plan, setting: Setting) -> Result:
    starter = multiprocessing.parent_process()
    if starter is not None and not starter.is_alive():
        sys.exit("Who started this work is gone.")
    return question.evaluate(setting, rows, plan)


def training_rows(order: Order) -> tuple[Rows, bytes]:
    """The training rows, and the table's bytes.

    Raises:
        TableError: The table cannot be read, or holds what cannot be.
    """
    try:
        data = order.data.read_bytes()
    except OSError as error:
        raise TableError(str(order.data), [f"{error.strerror}"]) from error
    read = table.read(data, str(order.data))
    parts = split(read, TUTORIAL.features, TUTORIAL.split_seed, TUTORIAL.train_share)
    return parts.train, data


def open_store(order: Order, name: str) -> Store:
    """The store of one question, for the table and the plan of an order."""
    _, data = training_rows(order)
    return Store(
        order.storage, QUESTIONS[name], identity(TUTORIAL, data, order.plan), order.grace_s
    )
