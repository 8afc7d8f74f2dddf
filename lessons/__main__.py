"""``python -m lessons``: export the networks of the lessons, or draw their pictures.

Exit codes: 0 done; 1 a folder cannot be written, with the reason; 2 the command is wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training import chatter
from training.errors import PublishError


def main(arguments: list[str]) -> int:
    """Run the command.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit code.
    """
    order = _parser().parse_args(arguments)
    try:
        order.run(order.folder)
    except (OSError, PublishError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m lessons", allow_abbrev=False)
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for name, run, folder, what in (
        ("export", _export, "models/lessons", "write the networks as model versions"),
        ("pictures", _draw, "docs/tutorial", "draw the tutorial's pictures"),
    ):
        command = commands.add_parser(name, help=what, allow_abbrev=False)
        command.add_argument("--folder", type=Path, default=Path(folder), help=f"({folder})")
        command.set_defaults(run=run)
    return made


# What a command does not need is not imported: TensorFlow takes seconds.


def _export(folder: Path) -> None:
    print(f"Exporting the networks of the lessons to {folder}")
    sys.stdout.flush()
    with chatter.hushed():
        from lessons.export import export  # noqa: PLC0415

        for version in export(folder):
            print(version)


def _draw(folder: Path) -> None:
    from lessons import pictures  # noqa: PLC0415

    for path in pictures.write(folder):
        print(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
