"""Every knob of a training run, with its unit, its reason and its limits.

The command's flags are made from the fields, and the whole is stored with the version.
What the source fixes and nobody turns is code: dense layers and ReLU.
"""

from __future__ import annotations

import dataclasses
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    NamedTuple,
    get_args,
    get_origin,
    get_type_hints,
)

from training.columns import FEATURES, OPEN
from training.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the engine and Keras both have; named here so that flags need neither.
LOSSES: Final = ("mse", "mae", "huber", "binary_crossentropy")
OPTIMIZERS: Final = ("adam", "adamw", "sgd", "rmsprop")
SCHEDULES: Final = ("constant", "linear", "cosine", "exponential")


class Knob(NamedTuple):
    """What a knob is measured in, why it stands as it does, and how far it turns."""

    unit: str
    reason: str
    least: float = 0
    most: float = 0
    choices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train: with the same data and code, the same recipe gives the same weights.

    Of a table with a target of its own, no features are all columns but the target.

    Raises:
        RecipeError: A knob is beyond its limits.
    """

    # fmt: off
    features: Annotated[tuple[str, ...], Knob("columns", "what the network reads; the source's three, and never B unasked")] = ("RM", "AGE", "LSTAT")  # noqa: E501 - one knob a line
    target: Annotated[str, Knob("column", "what the network predicts, of a table of your own; none is the source's, MEDV")] = ""  # noqa: E501
    raw: Annotated[bool, Knob("", "leave the normalisation out, as the source's own run does")] = False  # noqa: E501
    widths: Annotated[tuple[int, ...], Knob("units a hidden layer", "the source's two ReLU layers", 1, 4096)] = (64, 64)  # noqa: E501
    loss: Annotated[str, Knob("", "what is made small; the source's", choices=LOSSES)] = "mse"
    optimizer: Annotated[str, Knob("", "how; the source's", choices=OPTIMIZERS)] = "adam"
    momentum: Annotated[float, Knob("of the last step", "of sgd; the others have their own", 0, 0.999)] = 0.9  # noqa: E501
    learning_rate: Annotated[float, Knob("per step", "Adam's step; the source's, and Adam's default", 1e-9, 10)] = 0.001  # noqa: E501
    schedule: Annotated[str, Knob("", "how the learning rate falls; the source's does not", choices=SCHEDULES)] = "constant"  # noqa: E501
    weight_decay: Annotated[float, Knob("of a weight, times the learning rate, per step", "pulls weights to zero; the source does not", 0, 100)] = 0.0  # noqa: E501
    epochs: Annotated[int, Knob("passes over the training rows", "the source's; the validation loss hardly moves by then", 1, 100_000)] = 100  # noqa: E501
    batch_size: Annotated[int, Knob("rows a step", "Keras's default, which the source leaves alone", 1, 100_000)] = 32  # noqa: E501
    patience: Annotated[int, Knob("epochs", "stop so long after the best validation loss, and go back to it; 0: never, as the source", 0, 100_000)] = 0  # noqa: E501
    validation_share: Annotated[float, Knob("of the training rows", "held out to validate; 0: the test rows draw the curve, and teach nothing", 0, 0.5)] = 0.0  # noqa: E501
    members: Annotated[int, Knob("networks", "trained apart, their prices averaged; the source has one", 1, 100)] = 1  # noqa: E501
    seed: Annotated[int, Knob("", "draws the first weights and the order of the rows", 0, 2**32 - 1)] = 0  # noqa: E501
    split_seed: Annotated[int, Knob("", "which rows are held out; 113 is Keras's own split", 0, 2**32 - 1)] = 113  # noqa: E501
    train_share: Annotated[float, Knob("of the rows", "the rest is the test; 0.8 is Keras's own split", 0.1, 0.9)] = 0.8  # noqa: E501
    categories: Annotated[int, Knob("a column", "how many the network knows, the most frequent; the source's table has none", 1, 1000)] = 100  # noqa: E501
    coverage_splits: Annotated[int, Knob("times", "the table is split and all is trained anew, to see how often the truth lies within the intervals; 0: never", 0, 1000)] = 5  # noqa: E501
    tolerance: Annotated[float, Knob("thousand USD", "how far the exported models may stray from Keras; a dollar", 0, 1)] = 0.001  # noqa: E501
    # fmt: on

    def __post_init__(self) -> None:
        _check_features(self)
        for name, knob in knobs().items():
            if knob.most:
                _check_limits(name, getattr(self, name), knob)
            if knob.choices:
                _check_choice(name, getattr(self, name), knob)
        _check_patience(self.patience, self.validation_share)


def knobs() -> dict[str, Knob]:
    """The knobs by name, in the order of the recipe."""
    hints = get_type_hints(Recipe, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def kinds() -> dict[str, Any]:
    """The type of each knob's value, by name."""
    return get_type_hints(Recipe)


def defaults() -> dict[str, Any]:
    """The value of each knob that nobody turned, by name."""
    return dataclasses.asdict(Recipe())


def parse(texts: Mapping[str, str | bool], start: str = "tutorial") -> Recipe:
    """Make a recipe from texts, as flags give them.

    Args:
        texts: Values by knob; a knob that is not there stays as the named recipe has it.
        start: One of ``NAMED``.

    Raises:
        RecipeError: A text is not of its knob's kind, or beyond its limits.
    """
    kind = kinds()
    turned = {name: _value(name, kind[name], text) for name, text in texts.items()}
    if turned.get("target"):
        turned.setdefault("features", ())
    return dataclasses.replace(NAMED[start], **turned)


def _value(name: str, kind: Any, text: str | bool) -> Any:
    if isinstance(text, bool):
        return text
    if get_origin(kind) is tuple:
        return tuple(_number(name, get_args(kind)[0], part.strip()) for part in text.split(","))
    return _number(name, kind, text.strip())


def _number(name: str, kind: Any, text: str) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise RecipeError(name, f"is {text!r}, not {wanted}") from error


def _check_limits(name: str, value: Any, knob: Knob) -> None:
    values = value if isinstance(value, tuple) else (value,)
    for one in values:
        if not knob.least <= one <= knob.most:
            unit = f" {knob.unit}" if knob.unit else ""
            raise RecipeError(
                name, f"is {one}, outside [{knob.least:.10g}, {knob.most:.10g}]{unit}"
            )


def _check_choice(name: str, value: str, knob: Knob) -> None:
    if value not in knob.choices:
        raise RecipeError(name, f"is {value!r}, not one of {', '.join(knob.choices)}")


def _check_patience(patience: int, validation_share: float) -> None:
    if patience and not validation_share:
        raise RecipeError(
            "patience",
            f"is {patience} while validation_share is 0: the test rows must not say when to stop",
        )


def _check_features(recipe: Recipe) -> None:
    names = recipe.features
    for name in names:
        if not recipe.target and name not in FEATURES:
            raise RecipeError("features", f"has {name!r}, not one of {', '.join(FEATURES)}")
        if name == recipe.target:
            raise RecipeError("features", f"has {name}, which is the target")
        if names.count(name) > 1:
            raise RecipeError("features", f"has {name} {names.count(name)} times, at most once")


# ``best`` is what the study of models (training/experiments/models.py) chose.
NAMED: Final = {
    "tutorial": Recipe(),
    "best": Recipe(
        features=OPEN,
        widths=(64, 64, 64),
        loss="mae",
        learning_rate=0.03,
        schedule="cosine",
        weight_decay=0.02,
        epochs=300,
        members=16,
        coverage_splits=0,  # each would take a minute and a half
    ),
}
