"""``python -m training.coverage``: how often the intervals hold, when all is made anew.

Exit codes: 0 measured; 1 not, with the reason; 2 a flag is wrong; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from training import stopping, table
from training.coverage import page
from training.coverage.study import Study, study
from training.errors import TableError, TrainingError
from training.preparation import plain
from training.recipe import NAMED
from training.split import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_SPLITS: Final = 1000
_SPLITS: Final = "tutorial=20,best=8"  # those of docs/coverage.md


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
    splits = f"how often for which recipe ({_SPLITS})"
    add("--splits", type=_splits, default=_SPLITS, metavar="RECIPE=N,...", help=splits)
    add("--docs", type=Path, metavar="FOLDER", help="folder to write the page into (stdout)")
    return made


def _splits(text: str) -> dict[str, int]:
    counts = {}
    for part in text.split(","):
        name, _, count = part.partition("=")
        if name not in NAMED:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(NAMED)}")
        counts[name] = int(count)
        if not 1 <= counts[name] <= _MOST_SPLITS:
            raise argparse.ArgumentTypeError(f"{part} is outside [1, {_MOST_SPLITS}]")
    return counts


def _measure(given: argparse.Namespace) -> list[Study]:
    try:
        content = given.data.read_bytes()
    except OSError as error:
        raise TableError(str(given.data), [f"{error.strerror}"]) from error
    frame = table.read(content, str(given.data))
    found = []
    for name, count in given.splits.items():
        recipe = NAMED[name]
        found.append(study(name, recipe, Rows(frame, recipe.features), count, plain(recipe)))
        print(f"{name}: {count} splits", file=sys.stderr)
    return found


if __name__ == "__main__":
    stopping.insist()
    sys.exit(main())
