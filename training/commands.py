"""What may be done with versions besides training one: ``python -m training COMMAND``.

Exit codes: 0 done; 1 not done, with the reason, or weights that differ; 2 a flag is wrong.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from training import fingerprint, flags, labels, signing
from training.errors import TableError, TrainingError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from training.labels import Change


# What servers behind may speak: the service's --remote_protocol.
PROTOCOLS: Final = ("tensorflow_serving", "open_inference")


class Command(NamedTuple):
    """A command.

    Attributes:
        says: What it does, in a line.
        add: Adds its flags.
        run: Does it; gives the exit code.
        model: What the model is called where nobody says; None to find it out.
    """

    says: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    model: str | None = "housing"


def main(arguments: list[str]) -> int:
    """Run a command.

    Args:
        arguments: Its name, one of ``COMMANDS``, and its flags.

    Returns:
        The exit code.
    """
    name, *rest = arguments
    given = parser(name).parse_args(rest)
    try:
        return COMMANDS[name].run(given)
    except TrainingError as error:
        print(f"python -m training {name}: {error}", file=sys.stderr)
        return 1


def parser(name: str) -> argparse.ArgumentParser:
    """The parser of a command's flags.

    Args:
        name: One of ``COMMANDS``.
    """
    command = COMMANDS[name]
    made = flags.Parser(
        prog=f"python -m training {name}", description=command.says, allow_abbrev=False
    )
    command.add(made)
    flags.add_model(made, command.model)
    return made


def _promote(given: argparse.Namespace) -> int:
    labels.adopt(given.models, given.name)
    return _told(given, labels.promote(given.models, given.name, given.version))


def _rollback(given: argparse.Namespace) -> int:
    return _told(given, labels.rollback(given.models, given.name))


def _withdraw(given: argparse.Namespace) -> int:
    return _told(given, labels.withdraw(given.models, given.name))


def _told(given: argparse.Namespace, change: Change) -> int:
    on_trial = (
        "" if change.candidate == change.stable else f"; version {change.candidate} is candidate"
    )
    print(f"Version {change.stable} of {given.name} is stable{on_trial}.")
    return 0


def _config(given: argparse.Namespace) -> int:
    labels.adopt(given.models, given.name)
    print(labels.write_config(given.models))
    return 0


def _log(given: argparse.Namespace) -> int:
    from training import versions  # noqa: PLC0415 - with what it needs

    model = given.models / given.name
    if given.json:
        print(json.dumps(versions.listed(model), indent=1))
        return 0
    versions.show(model, _console())
    return 0


def _compare(given: argparse.Namespace) -> int:
    from training import chatter, comparing  # noqa: PLC0415 - heavy

    model = given.models / given.name
    one, other = (labels.find(model, it) for it in (given.one, given.other))
    with chatter.hushed():
        compared = comparing.compare(one, other, given.data, _content(given.data))
    if given.report is not None:
        comparing.write_report(compared, given.report)
    if given.json:
        print(json.dumps(comparing.listed(compared), indent=1))
    else:
        comparing.show(compared, _console())
    return 0


def _verify(given: argparse.Namespace) -> int:
    from training import chatter  # noqa: PLC0415 - heavy, like all below

    with chatter.hushed():
        from training import retraining  # noqa: PLC0415
        from training.comparison import open_version  # noqa: PLC0415

        version = open_version(labels.find(given.models / given.name, given.version))
        data = _content(given.data)
        retraining.require_same_data(version.described, data, str(given.data))
        recipe = retraining.recipe_of(version.described)
        order = flags.Order(
            recipe,
            given.data,
            given.models,
            given.name,
            force=False,
            columns=flags.described_beside(given.data) if recipe.target else None,
            stream_mb=0 if version.described.recipe.get(fingerprint.STREAMED) else sys.maxsize,
        )
        verdict = retraining.again(version, order, _console())
    for line in verdict.other:
        print(f"Not as then: {line}.")
    for line in verdict.unequal:
        print(f"Not equal: {line}.")
    equal = verdict.variables - len(verdict.unequal)
    print(f"{version.name}: {equal} of {verdict.variables} variables are equal, bit for bit.")
    return 1 if verdict.unequal else 0


def _sign(given: argparse.Namespace) -> int:
    print(signing.sign(labels.find(given.models / given.name, given.version), given.key))
    return 0


def _card(given: argparse.Namespace) -> int:
    from training import card, data_card  # noqa: PLC0415 - heavy
    from training.comparison import open_version  # noqa: PLC0415

    version = open_version(labels.find(given.models / given.name, given.version))
    text = card.render(version.described, data_card.read(given.data))
    if given.output is None:
        print(text, end="")
    else:
        given.output.write_text(text, encoding="utf-8")
    return 0


def _describe(given: argparse.Namespace) -> int:
    from training import chatter  # noqa: PLC0415 - heavy, like all below

    with chatter.hushed():
        from training.elsewhere import command  # noqa: PLC0415

        for line in command.describe(given):
            print(line)
    return 0


def _content(data: Path) -> bytes:
    try:
        return data.read_bytes()
    except OSError as error:
        raise TableError(str(data), [f"{error.strerror}"]) from error


def _console() -> Any:
    from rich.console import Console  # noqa: PLC0415 - for people alone

    console = Console(highlight=False)
    # A file or a pipe has no width: what is cut there is lost.
    return console if console.is_terminal else Console(highlight=False, width=200)


def _no_flags(_made: argparse.ArgumentParser) -> None:
    """The model's flags alone."""


def _add_version(made: argparse.ArgumentParser) -> None:
    made.add_argument("version", help="a number or a label")


def _add_promote(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "version", nargs="?", default=labels.CANDIDATE, help="a number or a label (candidate)"
    )


def _add_data(made: argparse.ArgumentParser) -> None:
    made.add_argument("--data", type=Path, default=flags.DATA, help="the table, as CSV")


def _add_json(made: argparse.ArgumentParser) -> None:
    made.add_argument("--json", action="store_true", help="as JSON, for programs")


def _add_compare(made: argparse.ArgumentParser) -> None:
    made.add_argument("one", help="a number or a label")
    made.add_argument("other", help="a number or a label")
    _add_data(made)
    _add_json(made)
    made.add_argument("--report", type=Path, metavar="FILE", help="write a page with a picture too")


def _add_verify(made: argparse.ArgumentParser) -> None:
    _add_version(made)
    _add_data(made)


def _add_sign(made: argparse.ArgumentParser) -> None:
    _add_version(made)
    made.add_argument("--key", type=Path, required=True, help="private key, PEM")


def _add_card(made: argparse.ArgumentParser) -> None:
    _add_version(made)
    _add_data(made)
    made.add_argument("--output", type=Path, metavar="FILE", help="write it there")


def _add_describe(made: argparse.ArgumentParser) -> None:
    add = made.add_argument
    add("network", help="a version's folder, or servers behind as host:port,host:port")
    add("--table", type=Path, required=True, help="rows as the network reads them: CSV or Parquet")
    add("--target", default="", help="the table's column with what it should say, if it has one")
    add("--features", default="", help="the columns that it reads, in its order, joined by commas")
    add("--columns", type=Path, help="what is said of the columns, as TOML")
    add("--output", default="", help="the network's output, if it has several")
    add("--version", type=int, help="the servers' version; the newest by default")
    add("--remote_protocol", default=PROTOCOLS[0], choices=PROTOCOLS, help="what they speak")
    add("--remote_config_file", type=Path, help="how they are asked: TLS and metadata")
    add("--force", action="store_true", help="in place of a contract that training has written")


COMMANDS: Final = {
    "describe": Command(
        "Describe a network that was trained elsewhere.", _add_describe, _describe, model=None
    ),
    "compare": Command("Compare two versions on the same test rows.", _add_compare, _compare),
    "promote": Command("Make a version stable.", _add_promote, _promote),
    "rollback": Command("Make the version stable that was so before.", _no_flags, _rollback),
    "withdraw": Command("End the candidate's trial.", _no_flags, _withdraw),
    "log": Command("List the versions with labels and lineage.", _add_json, _log),
    "verify": Command("Train a version again and compare the weights.", _add_verify, _verify),
    "sign": Command("Sign a version.", _add_sign, _sign),
    "card": Command("Write a version's model card.", _add_card, _card),
    "config": Command("Write models.config for the service.", _no_flags, _config),
}
