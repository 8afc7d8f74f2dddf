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
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+|^[_.-]+")
_DESCRIPTION: Final = ".columns.toml"  # in place of the table's own ending


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
        columns: The file that describes the table's columns, or None for none.
        stream_mb: Size from which a table is not kept in memory, MB.
    """

    recipe: recipe.Recipe
    data: Path
    models: Path
    name: str
    force: bool
    tensorboard: Path | None = None
    columns: Path | None = None
    stream_mb: int = 200

    @property
    def model(self) -> Path:
        """The folder that holds the model's versions."""
        return self.models / self.name


_PLACES: Final = ("data", "models", "force", "tensorboard", "stream_mb")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage of every flag."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


def parser() -> argparse.ArgumentParser:
    """Build the parser: the places first, then one flag for each knob of the recipe."""
    made = _Parser(
        prog="python -m training",
        description="Train a regressor and publish it as the model's next version.",
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
    try:
        made = recipe.parse(turned, given["recipe"])
    except RecipeError as error:
        reader.error(f"--{error}")
    places = {name: given[name] for name in _PLACES}
    places["name"] = _name(given, reader)
    places["columns"] = _columns(given, reader)
    return Order(made, **places)


def _name(given: dict[str, Any], reader: argparse.ArgumentParser) -> str:
    """The model's name; that of a table of one's own is the table's."""
    name: str | None = given["name"]
    if name is None:
        stem = given["data"].stem if given["target"] else "housing"
        name = _NOT_NAME.sub("_", stem).lstrip("_.-") or "model"
    if not _NAME.fullmatch(name):
        reader.error(f"--name is {name!r}, outside letters, digits and _ . -")
    return name


def _columns(given: dict[str, Any], reader: argparse.ArgumentParser) -> Path | None:
    """The file that describes the columns: the one asked for, or the one beside the table."""
    asked: Path | None = given["columns"]
    if asked is not None and not given["target"]:
        reader.error("--columns goes with --target")
    if asked is not None or not given["target"]:
        return asked
    beside: Path = given["data"].with_suffix(_DESCRIPTION)
    return beside if beside.exists() else None


def _add_places(made: argparse.ArgumentParser) -> None:
    add = made.add_argument
    table = "the table, as CSV or Parquet"
    add("--data", type=Path, default=Path("data/boston_housing.csv"), help=table)
    described = "what its columns mean (the table's name with .columns.toml, if that is there)"
    add("--columns", type=Path, metavar="FILE", help=described)
    streamed = "size from which the table is not kept in memory, MB (default 200)"
    add("--stream_mb", type=int, default=200, metavar="MB", help=streamed)
    add("--models", type=Path, default=Path("models"), help="folder of the models")
    named = "the model's name, and its folder in --models (housing, or the table's name)"
    add("--name", help=named)
    add("--force", action="store_true", help="train even if nothing changed")
    add("--tensorboard", type=Path, metavar="FOLDER", help="write TensorBoard's logs there")


def _add_knob(group: Any, name: str, knob: recipe.Knob) -> None:
    default = recipe.defaults()[name]
    if isinstance(default, bool):
        group.add_argument(f"--{name}", action="store_true", default=None, help=knob.reason)
        return
    unit = f", {knob.unit}" if knob.unit else ""
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default or "none"
    choices = f"; one of {', '.join(knob.choices)}" if knob.choices else ""
    explained = f"{knob.reason} (default {shown}{unit}{choices})"
    group.add_argument(f"--{name}", metavar=name.upper(), help=explained)
