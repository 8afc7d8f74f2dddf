"""``python -m training.coverage``: how often the intervals hold, when all is made anew.

Exit codes: 0 measured; 1 not, with the reason; 2 a flag is wrong; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from training import table
from training.coverage import page
from training.coverage.study import Study, study
from training.errors import TableError, TrainingError
from training.preparation import plain
from training.recipe import NAMED
from training.split import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_SPLITS: Final = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Without the program's name; None for the process's own.

    Returns:
        The exit code.
    """
    given = parser().parse_args(arguments)
    try:
        studies = _measure(given)
    except TrainingError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    text = page.render(studies)
    if given.docs is None:
        print(text)
        return 0
    (given.docs / page.DATA).write_bytes(
        msgspec.json.format(msgspec.json.encode(studies), indent=1) + b"\n"
    )
    (given.docs / page.PAGE).write_text(text, encoding="utf-8")
    print(f"Written to {given.docs / page.PAGE}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Build the parser."""
    made = argparse.ArgumentParser(
        prog="python -m training.coverage",
        description="Split the table again and again; see how often the intervals hold.",
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--data", type=Path, default=Path("data/boston_housing.csv"), help="the table, as CSV")
    add("--recipes", default="tutorial,best", help="which recipes (tutorial,best)")
    add("--splits", type=_splits, default=20, metavar="N", help="splits a recipe (20)")
    add("--docs", type=Path, metavar="FOLDER", help="folder to write the page into (stdout)")
    return made


def _splits(text: str) -> int:
    count = int(text)
    if not 1 <= count <= _MOST_SPLITS:
        raise argparse.ArgumentTypeError(f"{text} is outside [1, {_MOST_SPLITS}]")
    return count


def _measure(given: argparse.Namespace) -> list[Study]:
    try:
        content = given.data.read_bytes()
    except OSError as error:
        raise TableError(str(given.data), [f"{error.strerror}"]) from error
    frame = table.read(content, str(given.data))
    names = given.recipes.split(",")
    for name in names:
        if name not in NAMED:
            parser().error(f"--recipes has {name!r}, not one of {', '.join(NAMED)}")
    found = []
    for name in names:
        recipe = NAMED[name]
        found.append(study(name, recipe, Rows(frame, recipe.features), given.splits, plain(recipe)))
        print(f"{name}: {given.splits} splits", file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main())
