"""The store of a question's results: an Optuna study.

Any number of processes, on any number of machines that reach its storage, may work on a
study at once. A setting is queued as a trial; whoever takes the trial computes it, and
tells the storage every few seconds that it still does. If it no longer does, because it
was killed, the trial fails and its setting is queued again. So every setting that is wanted
has one result in the end, and no other trial has any.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from training.errors import StorageError
from training.experiments.crossvalidation import Result
from training.experiments.questions import key
from training.experiments.storage import storage, unwarned

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.trial import FrozenTrial, Trial

    from training.experiments.questions import Asked, Setting

_KEY: Final = "setting"
_RESULT: Final = "result"
_LIVE: Final = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)
# Seconds between two looks at what others do.
_LOOK_S: Final = 0.2


class Store:
    """One question's study.

    Args:
        url: Of the storage, as ``storage.storage`` takes it.
        question: Whose results it keeps.
        identity: Of all else that results depend on: others are in another study.
        grace_s: Seconds without a sign of life after which a trial counts as lost.

    Raises:
        StorageError: It cannot be opened.
    """

    def __init__(self, url: str, question: Asked, identity: str, grace_s: int = 30) -> None:
        self._question = question
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            storage=storage(url, grace_s),
            study_name=f"{question.name}-{identity}",
            load_if_exists=True,
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
        computed = 0
        while self._queue():
            if self._trials(TrialState.WAITING):
                computed += self._take(compute)
            else:
                time.sleep(_LOOK_S)  # all that is left is with others
        return computed

    def _take(self, compute: Callable[[Setting], Result]) -> int:
        """Take a trial and compute it; 1 if it counts, else 0."""
        computed, late = [], []

        def attempt(trial: Trial) -> float:
            try:
                result = self._compute(trial, compute)
            except UpdateFinishedTrialError:
                late.append(trial.number)
                raise
            computed.append(trial.number)
            return result.mae

        try:
            self._study.optimize(attempt, n_trials=1)
        except ValueError:
            # Others gave it up while this process was held, and Optuna cannot end it again.
            if not late:
                raise
        except UnboundLocalError as error:
            # Optuna's, where it cannot end a trial because its storage is gone.
            if isinstance(error.__context__, StorageError):
                raise error.__context__ from None
            raise
        return len(computed)

    def _queue(self) -> bool:
        """Queue one setting that is neither done nor under way; False if all are done."""
        with unwarned():
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
