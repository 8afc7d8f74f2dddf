"""The questions: what each asks, and the settings that it has tried.

A setting is what a question varies; the rest is the tutorial's recipe. Which settings are
wanted may depend on results: the way to the best features is found step by step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from training.columns import FEATURES, OPEN
from training.experiments import crossvalidation
from training.experiments.models import MODEL_QUESTION, ModelQuestion
from training.recipe import Recipe

if TYPE_CHECKING:
    from training.experiments.crossvalidation import Plan, Result
    from training.split import Rows

Setting = dict[str, Any]  # texts and numbers by name
Results = Mapping[str, "Result"]  # by the setting's key

TUTORIAL: Final = Recipe()
SOURCE: Final = TUTORIAL.features

WIDTHS: Final = (4, 8, 16, 32, 64, 128, 256)
DEPTHS: Final = (1, 2, 3, 4, 5)
RATES: Final = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
DESCENTS: Final = ("adam", "sgd")

_LONGEST_PATH: Final = 8  # features; by then one more has long stopped to matter


@dataclass(frozen=True)
class Question:
    """One exercise.

    Attributes:
        name: Of its study.
        asks: The question.
        wanted: From the results so far to all settings to try.
        recipe: From a setting to the recipe that tries it.
    """

    name: str
    asks: str
    wanted: Callable[[Results], list[Setting]]
    recipe: Callable[[Setting], Recipe]

    def evaluate(self, setting: Setting, rows: Rows, plan: Plan) -> Result:
        """Try a setting."""
        return crossvalidation.evaluate(self.recipe(setting), rows, plan)


def key(setting: Setting) -> str:
    """A setting as one text: equal settings, equal texts."""
    return json.dumps(setting, sort_keys=True)


def subset(*names: str) -> Setting:
    """The setting that reads these features, in the table's order."""
    return {"features": ",".join(name for name in FEATURES if name in names)}


def size(width: int, depth: int) -> Setting:
    """The setting with so many hidden layers of so many units."""
    return {"width": width, "depth": depth}


def descent(optimizer: str, rate: float) -> Setting:
    """The setting with this optimiser at this learning rate."""
    return {"optimizer": optimizer, "learning_rate": rate}


def path(results: Results) -> list[tuple[str, ...]]:
    """The way to the best features: each step adds the one that helps most.

    Args:
        results: What is known so far.

    Returns:
        The features after each step, as far as the results go.
    """
    taken: list[tuple[str, ...]] = []
    while len(taken) < _LONGEST_PATH:
        step = {names: key(subset(*names)) for names in _one_more(taken[-1] if taken else ())}
        if not all(it in results for it in step.values()):
            break
        taken.append(min(step, key=lambda names: results[step[names]].mae))
    return taken


def _one_more(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(*names, name) for name in OPEN if name not in names]


def _subsets(results: Results) -> list[Setting]:
    without_one = [subset(*(it for it in OPEN if it != name)) for name in OPEN]
    source_and_one = [subset(*names) for names in _one_more(SOURCE)]
    fixed = [subset(*SOURCE), subset(*OPEN), subset(*FEATURES), *without_one, *source_and_one]
    steps = [(), *path(results)][:_LONGEST_PATH]
    on_the_way = [subset(*names) for taken in steps for names in _one_more(taken)]
    return list({key(it): it for it in [*fixed, *on_the_way]}.values())


def _with(**knobs: Any) -> Recipe:
    return Recipe(**knobs)


FEATURE_QUESTION: Final = Question(
    "features",
    "Does adding features help?",
    _subsets,
    lambda setting: _with(features=tuple(setting["features"].split(","))),
)
NETWORK_QUESTION: Final = Question(
    "network",
    "Is the network right: other widths, other depths?",
    lambda _: [size(width, depth) for depth in DEPTHS for width in WIDTHS],
    lambda setting: _with(widths=(setting["width"],) * setting["depth"]),
)
RATE_QUESTION: Final = Question(
    "learning-rate",
    "What does the learning rate do, too large and too small?",
    lambda _: [descent(optimizer, rate) for optimizer in DESCENTS for rate in RATES],
    lambda setting: _with(momentum=0.0, **setting),
)

Asked = Question | ModelQuestion

QUESTIONS: Final[dict[str, Asked]] = {
    it.name: it for it in (FEATURE_QUESTION, NETWORK_QUESTION, RATE_QUESTION, MODEL_QUESTION)
}
