"""What can keep a training run from publishing a version.

Each class is one thing for the caller to mend; all of them end the run with nothing
published.

    TrainingError
    ├── RecipeError         a knob has a value that it cannot have
    ├── TableError          the table cannot be read, or holds what cannot be
    ├── DivergedError       the loss is no longer a number
    ├── NotBetterError      the network is no better than predicting the mean
    ├── DisagreementError   what was exported answers differently from what was trained
    ├── NotChosenError      the network is not better than the stable version
    ├── CompareError        two versions cannot be compared
    ├── LabelsError         a label cannot be where it is asked to be
    ├── DescribeError       a network cannot be described as it is asked to be
    ├── SigningError        a version cannot be signed
    ├── StorageError        studies cannot be kept where they are asked to be
    ├── ClusterError        the workers that train together cannot
    │   └── WorkerLostError one of them is gone
    └── PublishError        the models folder cannot be written
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class TrainingError(Exception):
    """Nothing was published, and the message says why."""


class RecipeError(TrainingError):
    """A knob has a value that it cannot have.

    Attributes:
        knob: The knob's name.
        problem: Value and limit.
    """

    def __init__(self, knob: str, problem: str) -> None:
        super().__init__(f"{knob} {problem}")
        self.knob = knob
        self.problem = problem


class TableError(TrainingError):
    """The table cannot be read, or holds what cannot be.

    Attributes:
        problems: Every problem found, each with its place, value and limit.
    """

    SHOWN = 20

    def __init__(self, table: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        shown = [f"  {problem}" for problem in self.problems[: self.SHOWN]]
        more = len(self.problems) - len(shown)
        rest = [f"  and {more} more"] if more else []
        super().__init__("\n".join([f"{table} cannot be used:", *shown, *rest]))


class DivergedError(TrainingError):
    """The loss is no longer a number."""


class NotBetterError(TrainingError):
    """The network is no better than predicting the mean."""


class DisagreementError(TrainingError):
    """What was exported answers differently from what was trained."""


class NotChosenError(TrainingError):
    """The network is not better than the stable version."""


class CompareError(TrainingError):
    """Two versions cannot be compared, or one cannot be made again."""


class LabelsError(TrainingError):
    """A label cannot be where it is asked to be."""


class DescribeError(TrainingError):
    """A network that was trained elsewhere cannot be described as it is asked to be."""


class SigningError(TrainingError):
    """A version cannot be signed."""


class StorageError(TrainingError):
    """Studies cannot be kept where they are asked to be."""


class ClusterError(TrainingError):
    """The workers that train together cannot: they are named wrongly, or are not alike."""


class WorkerLostError(ClusterError):
    """One of the workers that train together is gone."""


class PublishError(TrainingError):
    """The models folder cannot be written."""
