"""The command line of ``python -m training``: one flag a knob, and where things lie."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from training import recipe
from training.errors import RecipeError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Order:
    """What a command line asks for.

    Attributes:
        recipe: How to train.
        data: The table.
        models: The folder that holds a folder a model.
        name: The model's name.
        force: Train even if the newest version is already made from the same.
        tensorboard: The folder for TensorBoard's logs, or None for none.
    """

    recipe: recipe.Recipe
    data: Path
    models: Path
    name: str
    force: bool
    tensorboard: Path | None = None

    @property
    def model(self) -> Path:
        """The folder that holds the model's versions."""
        return self.models / self.name


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage of every flag."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


def parser() -> argparse.ArgumentParser:
    """Build the parser: the places first, then one flag for each knob of the recipe."""
    made = _Parser(
        prog="python -m training",
        description="Train the housing regressor and publish it as the model's next version.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_places(made)
    group = made.add_argument_group("the recipe")
    group.add_argument(
        "--recipe",
        choices=list(recipe.NAMED),
        default="tutorial",
        help="what the flags below start from; their defaults are the tutorial's",
    )
    for name, knob in recipe.knobs().items():
        _add_knob(group, name, knob)
    return made


def parse(arguments: list[str]) -> Order:
    """Read a command line.

    Args:
        arguments: Without the program's name.

    Raises:
        SystemExit: A flag is wrong, with status 2 and one line on stderr, or help was asked
            for, with status 0.
    """
    reader = parser()
    given = vars(reader.parse_args(arguments))
    turned = {name: given[name] for name in recipe.knobs() if given[name] is not None}
    if not _NAME.fullmatch(given["name"]):
        reader.error(f"--name is {given['name']!r}, outside letters, digits and _ . -")
    try:
        made = recipe.parse(turned, given["recipe"])
    except RecipeError as error:
        reader.error(f"--{error}")
    places = {name: given[name] for name in ("data", "models", "name", "force", "tensorboard")}
    return Order(made, **places)


def _add_places(made: argparse.ArgumentParser) -> None:
    add = made.add_argument
    add("--data", type=Path, default=Path("data/boston_housing.csv"), help="the table, as CSV")
    add("--models", type=Path, default=Path("models"), help="folder of the models")
    add("--name", default="housing", help="the model's name, and its folder in --models")
    add("--force", action="store_true", help="train even if nothing changed")
    add("--tensorboard", type=Path, metavar="FOLDER", help="write TensorBoard's logs there")


def _add_knob(group: Any, name: str, knob: recipe.Knob) -> None:
    default = recipe.defaults()[name]
    if isinstance(default, bool):
        group.add_argument(f"--{name}", action="store_true", default=None, help=knob.reason)
        return
    unit = f", {knob.unit}" if knob.unit else ""
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    choices = f"; one of {', '.join(knob.choices)}" if knob.choices else ""
    explained = f"{knob.reason} (default {shown}{unit}{choices})"
    group.add_argument(f"--{name}", metavar=name.upper(), help=explained)
