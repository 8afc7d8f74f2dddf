"""The store of a question's results: an Optuna study in a database.

Any number of processes, on any number of machines that reach the database, may work on a
study at once. A setting is queued as a trial; whoever takes the trial computes it, and
tells the database every few seconds that it still does. If it no longer does, because it
was killed, the trial fails and its setting is queued again.
"""

from __future__ import annotations

import json
import time
import warnings
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import optuna
from optuna.trial import TrialState
from sqlalchemy import event, make_url
from sqlalchemy.exc import IntegrityError, OperationalError

from training.experiments.crossvalidation import Result
from training.experiments.questions import key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from optuna.trial import FrozenTrial, Trial
    from sqlalchemy import Engine

    from training.experiments.questions import Asked, Setting

_KEY: Final = "setting"
_RESULT: Final = "result"
_LIVE: Final = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)
# Seconds between two looks at what others do.
_LOOK_S: Final = 0.2
# To open a new database whose tables another process is making.
_ATTEMPTS: Final = 50


class Store:
    """One question's study.

    Args:
        url: Of the database, as SQLAlchemy writes it: ``sqlite:///file``, ``postgresql://...``.
        question: Whose results it keeps.
        identity: Of all else that results depend on: others are in another study.
        grace_s: Seconds without a sign of life after which a trial counts as lost.
    """

    def __init__(self, url: str, question: Asked, identity: str, grace_s: int = 30) -> None:
        self._question = question
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _make_folder(url)
        storage = _open(url, grace_s)
        if storage.engine.dialect.name == "sqlite":
            _take_turns(storage.engine)
        self._study = optuna.create_study(
            storage=storage, study_name=f"{question.name}-{identity}", load_if_exists=True
        )

    def results(self) -> dict[str, Result]:
        """All results there are, by their setting's key."""
        done = self._trials(TrialState.COMPLETE)
        return {it.user_attrs[_KEY]: Result.read(it.user_attrs[_RESULT]) for it in done}

    def progress(self) -> tuple[int, int]:
        """How many of the settings wanted by now are done, and how many are wanted."""
        results = self.results()
        wanted = [key(it) for it in self._question.wanted(results)]
        return sum(it in results for it in wanted), len(wanted)

    def work(self, compute: Callable[[Setting], Result]) -> int:
        """Take settings and compute them until all that are wanted are done, by whomever.

        Args:
            compute: Gives a setting's result.

        Returns:
            How many were computed here.
        """
        computed: list[int] = []

        def attempt(trial: Trial) -> float:
            result = self._compute(trial, compute)
            computed.append(trial.number)
            return result.mae

        while self._queue():
            if self._trials(TrialState.WAITING):
                self._study.optimize(attempt, n_trials=1)
            else:
                time.sleep(_LOOK_S)  # all that is left is with others
        return len(computed)

    def _queue(self) -> bool:
        """Queue one setting that is neither done nor under way; False if all are done."""
        with _unwarned():
            optuna.storages.fail_stale_trials(self._study)
        wanted = {key(it): it for it in self._question.wanted(self.results())}
        live = {it.user_attrs.get(_KEY) for it in self._trials(*_LIVE)}
        missing = [name for name in wanted if name not in live]
        # One at a time: what two processes queue at once is there twice, and one is dropped.
        for name in missing[:1]:
            self._study.enqueue_trial({}, user_attrs={_KEY: name, **wanted[name]})
        done, of = self.progress()
        return done < of

    def _compute(self, trial: Trial, compute: Callable[[Setting], Result]) -> Result:
        name = trial.user_attrs.get(_KEY)
        # Two processes may queue a setting at once, and may see one trial wait and both ask.
        # The first trial of a setting counts; one that nobody queued has none.
        if name is None or self._first(name) != trial.number:
            raise optuna.TrialPruned
        result = compute(json.loads(name))
        trial.set_user_attr(_RESULT, result.stored())
        return result

    def _first(self, name: str) -> int:
        live = self._trials(*_LIVE)
        return min(it.number for it in live if it.user_attrs.get(_KEY) == name)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)


@contextmanager
def _unwarned() -> Iterator[None]:
    """Optuna calls the signs of life experimental, since 2021."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _open(url: str, grace_s: int) -> optuna.storages.RDBStorage:
    """Open a database; where it is new, one process makes its tables and the others try again."""
    for attempt in count():
        try:
            with _unwarned():
                return optuna.storages.RDBStorage(
                    url, heartbeat_interval=max(1, grace_s // 5), grace_period=grace_s
                )
        except (IntegrityError, OperationalError):
            if attempt == _ATTEMPTS:
                raise
            time.sleep(_LOOK_S)
    raise AssertionError("count() does not end")


def _make_folder(url: str) -> None:
    place = make_url(url)
    if place.get_backend_name() == "sqlite" and place.database:
        Path(place.database).parent.mkdir(parents=True, exist_ok=True)


def _take_turns(engine: Engine) -> None:
    """Have SQLite lock for a whole transaction, so that only one process takes a trial.

    Its write-ahead log spares most waits for the disk.

    References:
        SQLAlchemy's page on pysqlite, "Serializable isolation / Savepoints / Transactional DDL".
    """
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", lambda it: it.exec_driver_sql("BEGIN IMMEDIATE"))
    engine.dispose()  # connections from before do not know


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are SQLAlchemy's business
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
