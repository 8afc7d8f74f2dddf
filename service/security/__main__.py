"""``python -m service.security``: make a key, or look into a model.

python -m service.security new-key shop predict,read --expires 2027-01-31
python -m service.security scan models/housing/1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.errors import InvalidRequest, VersionRefused
from service.security.callers import digest_of, new_key, parse_callers

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILED: Final = 1


def main(arguments: Sequence[str]) -> int:
    """Run one command.

    Returns:
        The exit code: 1 where a model is refused, else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m service.security", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    key = commands.add_parser("new-key", help="make an API key and its line for --api_key_file")
    key.add_argument("caller", help="the caller's name")
    key.add_argument("scopes", help="predict, read and admin, joined by commas")
    key.add_argument("--expires", metavar="DAY", help="until when it counts, such as 2027-01-31")
    look = commands.add_parser("scan", help="name the operations for which a model is refused")
    look.add_argument("version", type=Path, help="the version's folder")
    given = parser.parse_args(arguments)
    if given.command == "scan":
        return _scan(given.version)
    return _new_key(parser, given)


def _new_key(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    secret = new_key()
    words = [given.caller, given.scopes, digest_of(secret)]
    line = " ".join([*words, *([f"expires={given.expires}"] if given.expires else [])])
    try:
        parse_callers("new-key", line)
    except InvalidRequest as error:
        parser.error(error.message)
    print(f"The key, shown this once: {secret}", file=sys.stderr)
    print("Its line for --api_key_file:", file=sys.stderr)
    print(line)
    return 0


def _scan(version: Path) -> int:
    from service.inference.signature import read_message  # noqa: PLC0415 - for this alone
    from service.security.graph_scan import check_graph  # noqa: PLC0415

    try:
        check_graph(read_message(version))
    except VersionRefused as error:
        print(f"{version}: {error.message}")
        return _FAILED
    print(f"{version}: nothing in its graph reaches beyond it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
