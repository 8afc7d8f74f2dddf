"""The command line: every flag, with its default."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, Final

from client._client import DEFAULT_MODEL, DEFAULT_URL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WAIT_TIMEOUT_S: Final = 60.0
_PAIR: Final = re.compile(r"(?P<name>[^=/]+)=(?P<value>.*)", re.DOTALL)

_SIZE: Final = re.compile(r"(?P<number>\d+(\.\d+)?) ?(?P<unit>[KMGT]?)i?B?", re.IGNORECASE)
_UNITS: Final = {unit: 2 ** (10 * power) for power, unit in enumerate(("", "K", "M", "G", "T"))}


def parser() -> argparse.ArgumentParser:
    """Build the parser. The common flags may stand before the command or after it."""
    common = _common()
    root = argparse.ArgumentParser(
        prog="python -m client",
        description="Ask a Hearth server for prices.",
        parents=[common],
        allow_abbrev=False,
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_predict, _add_score, _add_explain, _add_models, _add_top, _add_wait):
        add(commands, common)
    return root


def parse(argv: Sequence[str] | None, environ: Mapping[str, str]) -> argparse.Namespace:
    """Read a command line.

    Args:
        argv: The arguments; None: the process's own.
        environ: ``HEARTH_URL`` is the default for ``--url``, ``HEARTH_API_KEY`` and
            ``HEARTH_CA_FILE`` for those flags. A key on the command line can be seen by others
            on the machine.

    Returns:
        All settings; ``houses`` are split into ``pairs`` or a ``path``.

    Raises:
        SystemExit: They are wrong (2), or were only asked for (0).
    """
    root = parser()
    given = root.parse_args(argv)
    for name, value in _defaults(environ, given.command).items():
        vars(given).setdefault(name, value)
    try:
        if given.command == "predict":
            _split_houses(given)
        if given.command == "explain":
            given.pairs = _only_pairs(given.house)
    except ValueError as error:
        root.error(str(error))
    return given


def _defaults(environ: Mapping[str, str], command: str) -> dict[str, Any]:
    return {
        "url": environ.get("HEARTH_URL") or DEFAULT_URL,
        "model": DEFAULT_MODEL,
        "api_key": environ.get("HEARTH_API_KEY") or None,
        "ca_file": environ.get("HEARTH_CA_FILE") or None,
        "certificate_file": None,
        "key_file": None,
        "version_number": None,
        "label": None,
        "timeout_s": WAIT_TIMEOUT_S if command == "wait" else 30.0,
        "retries": 3,
        "signature_name": None,
        "chunk_rows": 1000,
    }


def _common() -> argparse.ArgumentParser:
    # Without defaults here: the command's parser would overwrite what stood before it.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    add = common.add_argument
    add("--url", help=f"where the server is (HEARTH_URL, else {DEFAULT_URL})")
    add("--model", help=f"the model's name ({DEFAULT_MODEL})")
    add("--version_number", type=_at_least(1), metavar="N", help="ask this version")
    add("--label", help="ask the version with this label")
    add("--signature_name", metavar="NAME", help="ask this signature (the model's default)")
    add(
        "--timeout_s",
        type=seconds,
        metavar="SECONDS",
        help=f"time for one request with its retries (30); for wait, in all ({WAIT_TIMEOUT_S:g})",
    )
    add("--api_key", metavar="KEY", help="an API key or token to show (HEARTH_API_KEY)")
    add("--ca_file", metavar="FILE", help="certificates to trust (HEARTH_CA_FILE, the system's)")
    add("--certificate_file", metavar="FILE", help="the client's own certificate")
    add("--key_file", metavar="FILE", help="its private key (in certificate_file)")
    add("--retries", type=_at_least(0), metavar="N", help="send a request again so often (3)")
    return common


def _add_predict(commands: Any, common: argparse.ArgumentParser) -> None:
    predict = commands.add_parser(
        "predict",
        parents=[common],
        allow_abbrev=False,
        help="price one house, or a table of houses",
        description="Price one house given as NAME=VALUE ..., or a CSV file ('-': stdin).",
    )
    predict.add_argument("houses", nargs="+", metavar="NAME=VALUE | FILE")
    predict.add_argument("-o", "--output", metavar="FILE", help="write here (stdout)")
    predict.add_argument("--json", action="store_true", help="one house: answer in JSON")
    predict.add_argument("--restart", action="store_true", help="drop what an earlier run left")
    level = "the bounds too that so large a share of true prices lies within, such as 0.9"
    predict.add_argument("--level", type=_share, metavar="SHARE", help=level)
    rows = predict.add_argument("--chunk_rows", type=_at_least(1), default=argparse.SUPPRESS)
    rows.metavar, rows.help = "N", "rows in one request (1000)"


def _add_score(commands: Any, _: argparse.ArgumentParser) -> None:
    score = commands.add_parser(
        "score",
        allow_abbrev=False,
        help="price a table of any size on this machine, without a server",
        description="Price a CSV, Parquet or Arrow file, or a folder of such files, without a "
        "server. The same command goes on where an earlier one was stopped.",
    )
    add = score.add_argument
    add("table", metavar="TABLE", help="a file or a folder: a path, or a URL such as s3://...")
    add(
        "-o", "--output", required=True, metavar="OUTPUT",
        help="a file (NAME.parquet, NAME.csv, NAME.arrow), or a folder that gets many",
    )  # fmt: skip
    _add_model(score)
    add("--level", type=_share, metavar="SHARE", help="the bounds too, such as 0.9")
    add(
        "--column", action="append", type=_column, default=[], metavar="FEATURE=COLUMN",
        help="what the table calls a feature; once for each",
    )  # fmt: skip
    keep = "columns to put before the price: all, none, or NAME,NAME (all)"
    add("--keep", type=_kept, default="all", metavar="COLUMNS", help=keep)
    formats = ("parquet", "csv", "arrow")
    add("--format", choices=formats, help="what to write (as the output's name says, or parquet)")
    add("--processes", type=_at_least(1), metavar="N", help="processes to work in (one a core)")
    memory = "what all processes may take together, such as 2G (as much as they like)"
    add("--memory", type=_bytes, metavar="BYTES", help=memory)
    rows = "rows that are written as one, of a part of a folder (1048576)"
    add("--unit_rows", type=_at_least(1), default=2**20, metavar="N", help=rows)
    cluster = "work on a Dask cluster instead: its scheduler, such as tcp://head:8786"
    add("--scheduler", metavar="ADDRESS", help=cluster)
    add("--restart", action="store_true", help="drop what an earlier run left")


def _add_model(score: argparse.ArgumentParser) -> None:
    add = score.add_argument
    add("--model", default=argparse.SUPPRESS, help="the model's name (housing)")
    where = "the folder of its versions, or of one version (models/MODEL)"
    add("--model_base_path", metavar="FOLDER", help=where)
    number = "the version to score with (the stable one)"
    add("--version_number", type=_at_least(1), default=argparse.SUPPRESS, metavar="N", help=number)
    add("--label", default=argparse.SUPPRESS, help="the version with this label")
    keys = "public keys, joined by commas: refuse a version that none of them has signed"
    add("--verify_versions_with", type=_paths, default=[], metavar="KEYS", help=keys)


def _add_explain(commands: Any, common: argparse.ArgumentParser) -> None:
    explain = commands.add_parser(
        "explain",
        parents=[common],
        allow_abbrev=False,
        help="say what the price of a house is made of",
    )
    explain.add_argument("house", nargs="+", metavar="NAME=VALUE")
    explain.add_argument("--json", action="store_true", help="answer in JSON")


def _add_models(commands: Any, common: argparse.ArgumentParser) -> None:
    models = commands.add_parser(
        "models", parents=[common], allow_abbrev=False, help="show models and their versions"
    )
    models.add_argument("--json", action="store_true", help="answer in JSON")


def _add_top(commands: Any, common: argparse.ArgumentParser) -> None:
    top = commands.add_parser(
        "top", parents=[common], allow_abbrev=False, help="watch what the server does"
    )
    top.add_argument(
        "--every_s", type=seconds, default=1.0, metavar="SECONDS", help="between two looks (1)"
    )
    top.add_argument("--times", type=_at_least(1), metavar="N", help="looks to show (for ever)")


def _add_wait(commands: Any, common: argparse.ArgumentParser) -> None:
    commands.add_parser(
        "wait", parents=[common], allow_abbrev=False, help="return when the server is ready"
    )


def _split_houses(given: argparse.Namespace) -> None:
    """Tell NAME=VALUE pairs from a path, and check what goes with which.

    Raises:
        ValueError: They are mixed, or a flag does not go with them.
    """
    found = [_PAIR.fullmatch(house) for house in given.houses]
    given.pairs = given.path = None
    if all(found):
        given.pairs = _pairs([match for match in found if match])
    elif len(found) == 1:
        given.path = given.houses[0]
    else:
        raise ValueError("give NAME=VALUE ... for one house, or one FILE")
    if given.path is not None and given.json:
        raise ValueError("--json goes with NAME=VALUE ..., not with a FILE")
    if given.pairs is not None and (given.output or given.restart):
        raise ValueError("--output and --restart go with a FILE, not with NAME=VALUE ...")


def _only_pairs(house: Sequence[str]) -> dict[str, float | str | None]:
    """Read NAME=VALUE pairs.

    Raises:
        ValueError: Something is none.
    """
    found = [_PAIR.fullmatch(part) for part in house]
    if not all(found):
        raise ValueError("give one house as NAME=VALUE ...")
    return _pairs([match for match in found if match])


def _pairs(found: Sequence[re.Match[str]]) -> dict[str, float | str | None]:
    """Values by name: numbers, and other texts as they are; an empty one is missing."""
    pairs: dict[str, float | str | None] = {}
    for match in found:
        name, value = match["name"], match["value"]
        if name in pairs:
            raise ValueError(f"{name} is given twice")
        try:
            pairs[name] = float(value) if value.strip() else None
        except ValueError:
            pairs[name] = value
    return pairs


def seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _column(text: str) -> tuple[str, str]:
    feature, mark, column = text.partition("=")
    if not (mark and feature and column):
        raise argparse.ArgumentTypeError(f"{text} is not FEATURE=COLUMN")
    return feature, column


def _paths(text: str) -> list[str]:
    paths = text.split(",")
    if not all(paths):
        raise argparse.ArgumentTypeError(f"{text!r} is not paths joined by commas")
    return paths


def _kept(text: str) -> str | list[str]:
    return text if text in {"all", "none"} else text.split(",")


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is no size such as 500M or 2G")
    return int(float(found["number"]) * _UNITS[found["unit"].upper()])


def _at_least(limit: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        value = int(text)
        if value < limit:
            raise argparse.ArgumentTypeError(f"{value} is below {limit}")
        return value

    return integer
