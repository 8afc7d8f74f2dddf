"""A process that works on a study, notes each setting that it computes, and takes its time."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from typing import TYPE_CHECKING

from training.experiments.crossvalidation import Outcome, Result
from training.experiments.questions import QUESTIONS
from training.experiments.store import Store

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

# What each would import for seconds is imported once.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def start(
    url: str, notes: Path, pause_s: float, grace_s: int = 2, said: Path | None = None
) -> BaseProcess:
    """Start one; what it says goes to a file, if one is given."""
    worker = _CONTEXT.Process(target=_work, args=(url, notes, pause_s, grace_s, said), daemon=True)
    worker.start()
    return worker


def _work(url: str, notes: Path, pause_s: float, grace_s: int, said: Path | None) -> None:
    if said is not None:
        with said.open("ab") as file:
            os.dup2(file.fileno(), 2)

    def compute(setting: dict[str, object]) -> Result:
        with notes.open("a") as file:
            print(json.dumps(setting, sort_keys=True), file=file, flush=True)
        time.sleep(pause_s)
        return Result((Outcome(0, 0, setting["width"] / 100, 9.0, 1),), (1.0,))

    Store(url, QUESTIONS["network"], "test", grace_s).work(compute)
