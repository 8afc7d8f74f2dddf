"""``python -m training.experiments``: answer the exercises, in as many processes as wanted.

Stopped or killed, it goes on where it was. Exit codes: 0 answered; 1 not, with the reason;
2 a flag is wrong; 130 and 143 stopped by Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from training import stopping
from training.errors import TrainingError
from training.experiments import page, work
from training.experiments.crossvalidation import Plan
from training.experiments.questions import QUESTIONS
from training.experiments.work import Order

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.process import BaseProcess

    from training.experiments.questions import Results
    from training.experiments.store import Store

_STORAGE: Final = "sqlite:///experiments/studies.db"
_LOOK_S: Final = 1.0
_LEAST: Final = {"seeds": 1, "folds": 2, "epochs": 1, "jobs": 1, "grace_s": 1}


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit code.
    """
    order = _parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return answer(order, Console())
    except TrainingError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130


def answer(order: Order, console: Console) -> int:
    """Have the questions worked on, show how far they are, and write the answers."""
    rows, _ = work.training_rows(order)
    stores = {name: work.open_store(order, name) for name in order.questions}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__name__])
    workers = [
        context.Process(target=work.work, args=(order,), daemon=True) for _ in range(order.jobs)
    ]
    for worker in workers:
        worker.start()
    try:
        _watch(stores, workers, console)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    if any(worker.exitcode for worker in workers):
        console.print("A worker failed: see above.")
        return 1
    _write(order, {name: store.results() for name, store in stores.items()}, len(rows.frame))
    return 0


def _watch(stores: dict[str, Store], workers: Sequence[BaseProcess], console: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as shown:
        tasks = {name: shown.add_task(name, total=None) for name in stores}
        while any(worker.is_alive() for worker in workers):
            time.sleep(_LOOK_S)
            for name, store in stores.items():
                done, wanted = store.progress()
                shown.update(tasks[name], completed=done, total=wanted)


def _write(order: Order, results: dict[str, Results], rows: int) -> None:
    answered = page.sections(results)
    for section in answered:
        print(f"\n{section.asks}")
        for sentence in section.answer.sentences:
            print(f"  {sentence}")
    page.write_report(answered, order.plan, rows, order.report)
    print(f"\nReport    {order.report}")
    if order.docs is not None:
        page.write_docs(answered, order.plan, rows, order.docs)
        print(f"Docs      {order.docs / page.PAGE}")


def _parse(arguments: Sequence[str]) -> Order:
    made = parser()
    given = made.parse_args(arguments)
    for name, least in _LEAST.items():
        if getattr(given, name) < least:
            made.error(f"--{name} is {getattr(given, name)}, at least {least} is needed")
    return _order(given)


def parser() -> argparse.ArgumentParser:
    """Build the parser."""
    made = argparse.ArgumentParser(
        prog="python -m training.experiments",
        description="Answer the exercises by cross-validation; stopped, it goes on where it was.",
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--data", type=Path, default=Path("data/boston_housing.csv"), help="the table, as CSV")
    add("--storage", default=_STORAGE, help="the results: journal:///file, or a database's URL")
    add("--questions", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS))
    add("--seeds", type=int, default=Plan.seeds, help="seeds a setting (default %(default)s)")
    add("--folds", type=int, default=Plan.folds, help="folds a seed (default %(default)s)")
    add("--epochs", type=int, default=Plan.epochs, help="epochs a network (default %(default)s)")
    add("--jobs", type=int, default=2, help="processes (default %(default)s)")
    add("--grace_s", type=int, default=30, help="seconds until a silent trial or database is lost")
    add("--report", type=Path, default=Path("experiments/index.html"), help="the page to write")
    add("--docs", type=Path, help="folder to write experiments.md and its pictures into")
    return made


def _order(given: argparse.Namespace) -> Order:
    return Order(
        data=given.data,
        storage=given.storage,
        questions=tuple(given.questions),
        plan=Plan(given.seeds, given.folds, given.epochs),
        jobs=given.jobs,
        grace_s=given.grace_s,
        report=given.report,
        docs=given.docs,
    )


if __name__ == "__main__":
    stopping.insist()
    sys.exit(main(sys.argv[1:]))
