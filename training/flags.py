"""The command line of ``python -m training``: one flag a knob, and where things lie."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from training import recipe
from training.distributed import cluster
from training.errors import ClusterError, RecipeError
from training.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Mapping

_DESCRIPTION: Final = "Train a regressor and publish it as the model's candidate, if it is better."
_PLACES: Final = (
    "data", "models", "force", "tensorboard", "alpha", "keep_served", "sign", "stream_mb",
    "worker_wait_s",
)  # fmt: skip
DATA: Final = Path("data/boston_housing.csv")
# What the library says of a value that one of ours refuses: "argument --name: is ...".
_ARGUMENT: Final = re.compile(r"^argument (--\w+): (?=is )")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+|^[_.-]+")
_COLUMNS: Final = ".columns.toml"  # in place of the table's own ending


@dataclass(frozen=True)
class Order:
    """What a command line asks for.

    Attributes:
        recipe: How to train.
        data: The table.
        models: The folder that holds a folder a model.
        name: The model's name.
        force: Train even if the newest version is already made from the same, and publish
            what is not better than the stable version.
        tensorboard: The folder for TensorBoard's logs, or None for none.
        alpha: The p value up to which a network counts as better than the stable version.
        keep_served: A network that is not better is no failure.
        sign: The private key to sign the version with, or None for none.
        columns: The file that describes the table's columns, or None for none.
        stream_mb: Size from which a table is not kept in memory, MB.
        cluster: The workers that train together, or None for one process.
        worker_wait_s: How long to wait for the others at the start, s.
    """

    recipe: recipe.Recipe
    data: Path
    models: Path
    name: str
    force: bool
    tensorboard: Path | None = None
    alpha: float = 0.05
    keep_served: bool = False
    sign: Path | None = None
    columns: Path | None = None
    stream_mb: int = 200
    cluster: cluster.Cluster | None = None
    worker_wait_s: int = 600

    @property
    def model(self) -> Path:
        """The folder that holds the model's versions."""
        return self.models / self.name

    @property
    def rules(self) -> Rules:
        """When a network may be published beside a stable version."""
        return Rules(self.alpha, forced=self.force)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage of every flag."""

    def error(self, message: str) -> NoReturn:
        """End the command with status 2."""
        message = _ARGUMENT.sub(r"\1 ", message)
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


def parser() -> argparse.ArgumentParser:
    """Build the parser: the places first, then one flag for each knob of the recipe."""
    made = Parser(
        prog="python -m training",
        description=_DESCRIPTION,
        epilog=_commands(),
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


def parse(arguments: list[str], environment: Mapping[str, str] = os.environ) -> Order:
    """Read a command line.

    Args:
        arguments: Without the program's name.
        environment: Where the workers may be named too, as ``TF_CONFIG``.

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
    places["name"] = given["name"] or named_after(given["data"], given["target"])
    places["columns"] = _columns(given, reader)
    places["cluster"] = _cluster(given, environment, reader)
    return Order(made, **places)


def named_after(data: Path, target: str | None) -> str:
    """The name of a model that nobody names: a table of one's own gives its own."""
    if not target:
        return "housing"
    return _NOT_NAME.sub("_", _unpacked(data).stem).lstrip("_.-") or "model"


def described_beside(data: Path) -> Path | None:
    """The file beside a table that describes its columns, if it is there."""
    beside = _unpacked(data).with_suffix(_COLUMNS)
    return beside if beside.exists() else None


def _unpacked(data: Path) -> Path:
    """A table's path without the ending that says that it is compressed."""
    return data.with_suffix("") if data.suffix == ".gz" else data


def _columns(given: dict[str, Any], reader: argparse.ArgumentParser) -> Path | None:
    """The file that describes the columns: the one asked for, or the one beside the table."""
    asked: Path | None = given["columns"]
    if asked is not None and not given["target"]:
        reader.error("--columns goes with --target")
    return asked or (described_beside(given["data"]) if given["target"] else None)


def _cluster(
    given: dict[str, Any], environment: Mapping[str, str], reader: argparse.ArgumentParser
) -> cluster.Cluster | None:
    """The workers: of the flags, or else of the environment."""
    try:
        if given["workers"] is not None or given["worker_index"] is not None:
            found = cluster.of_flags(given["workers"], given["worker_index"])
        else:
            found = cluster.of_environment(environment)
    except ClusterError as error:
        reader.error(str(error))
    if found is not None and not given["target"]:
        reader.error(f"{len(found.tasks)} workers train a table of your own: --target is missing")
    return found


def add_model(made: argparse.ArgumentParser, name: str | None = "housing") -> None:
    """Add the flags that say which model is meant.

    Args:
        made: Gets them.
        name: What the model is called where nobody says; None to find it out.
    """
    add = made.add_argument
    add("--models", type=Path, default=Path("models"), help="folder of the models")
    add("--name", type=_name, default=name, help="the model's name, and its folder there")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"is {text!r}, outside letters, digits and _ . -")
    return text


def _alpha(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"is {text!r}, not a number") from None
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"is {value:g}, outside (0, 1)")
    return value


def _commands() -> str:
    from training.commands import COMMANDS  # noqa: PLC0415 - it imports this module

    lines = [f"  {name:10}{command.says}" for name, command in COMMANDS.items()]
    return "\n".join(["commands (python -m training COMMAND --help):", *lines])


def _add_places(made: argparse.ArgumentParser) -> None:
    add = made.add_argument
    add("--data", type=Path, default=DATA, help="the table, as CSV or Parquet")
    described = "what its columns mean (the table's name with .columns.toml, if that is there)"
    add("--columns", type=Path, metavar="FILE", help=described)
    streamed = "size from which the table is not kept in memory, MB (default 200)"
    add("--stream_mb", type=int, default=200, metavar="MB", help=streamed)
    add_model(made, None)
    add("--force", action="store_true", help="train if nothing changed too; publish if not better")
    add("--alpha", type=_alpha, default=0.05, help="p value up to which it counts as better (0.05)")
    add("--keep_served", action="store_true", help="end with 0 too if it is not better")
    add("--sign", type=Path, metavar="KEY", help="private key (PEM) to sign the version with")
    together = "train together with these, each started with the same command (TF_CONFIG)"
    add("--workers", metavar="HOST:PORT,HOST:PORT", help=together)
    add("--worker_index", type=int, metavar="N", help="which of them this is, from 0, the chief")
    waited = "how long to wait for the others at the start, s (default 600)"
    add("--worker_wait_s", type=int, default=600, metavar="S", help=waited)
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
