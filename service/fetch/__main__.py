"""``python -m service.fetch``: bring versions of a model to where they are served.

python -m service.fetch s3://models/housing /models/housing
python -m service.fetch https://models.example/housing models/housing --version 7

Exit codes: 0 every version that was asked for is there; 1 one is not, with the reason; 2 a flag is
wrong.
"""

from __future__ import annotations

import argparse
import fcntl
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.errors import InvalidRequest
from service.fetch.errors import FetchError
from service.fetch.store import open_store
from service.fetch.version import Fetcher
from service.repository.signatures import Signatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.fetch.store import Store

_FAILED: Final = 1
_MOST_VERSION: Final = 2**63 - 1
_LOCK: Final = ".fetch.lock"


def main(arguments: Sequence[str]) -> int:
    """Fetch.

    Returns:
        The exit code.
    """
    given = parser().parse_args(arguments)
    try:
        signatures = _signatures(given.verify_versions_with)
        given.destination.mkdir(parents=True, exist_ok=True)
        with (given.destination / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # pods may share the folder
            return _fetch(given, signatures)
    except (FetchError, InvalidRequest, OSError) as error:
        return _fail(error)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m service.fetch", allow_abbrev=False)
    made.description = (
        "Bring versions of a model to where they are served, checked, and only new ones."
    )
    made.add_argument(
        "source",
        help="the model's folder: s3://, gs://, az://, https://, hf:// and what else fsspec knows, "
        "or a local one",
    )
    made.add_argument("destination", type=Path, help="the model's folder here")
    which = made.add_mutually_exclusive_group()
    which.add_argument(
        "--newest", type=_count, default=1, metavar="N", help="the newest N versions. Default: 1"
    )
    which.add_argument(
        "--version", type=_version, action="append", help="this version; may be given again"
    )
    made.add_argument(
        "--verify_versions_with",
        metavar="KEYS",
        default="",
        help="public keys, joined by commas, one of which must have signed each version",
    )
    made.add_argument(
        "--allow_unchecked",
        action="store_true",
        help="take versions without a contract too, whose files have no checksums",
    )
    made.add_argument(
        "--retry_s",
        type=_seconds,
        default=60.0,
        help="seconds for which a store that does not answer is asked again. Default: 60",
    )
    return made


def _fetch(given: argparse.Namespace, signatures: Signatures | None) -> int:
    store = open_store(given.source, given.retry_s)
    wanted = _wanted(given, store)
    fetcher = Fetcher(
        store,
        given.destination,
        signatures,
        allow_unchecked=given.allow_unchecked,
        retry_s=given.retry_s,
        tell=lambda line: print(line, file=sys.stderr),
    )
    fetcher.tidy(wanted)
    return max([_fetch_one(fetcher, given.destination / str(it), it) for it in wanted])


def _fetch_one(fetcher: Fetcher, place: Path, version: int) -> int:
    try:
        fetched = fetcher.fetch(version)
    except (FetchError, OSError) as error:
        return _fail(error)
    print(f"{place}: {'there already' if fetched is None else 'fetched'}", flush=True)
    return 0


def _wanted(given: argparse.Namespace, store: Store) -> list[int]:
    if given.version:
        return sorted(set(given.version))
    versions = store.versions()
    if not versions:
        raise FetchError(f"{store.url} has no versions: no folder whose name is a number")
    return versions[-given.newest :]


def _signatures(keys: str) -> Signatures | None:
    if not keys:
        return None
    signatures = Signatures([Path(it) for it in keys.split(",")])
    signatures.check_keys()
    return signatures


def _fail(error: Exception) -> int:
    print(f"python -m service.fetch: {error}", file=sys.stderr)
    return _FAILED


def _count(text: str) -> int:
    return _whole(text, 1, 1000)


def _version(text: str) -> int:
    return _whole(text, 0, _MOST_VERSION)


def _whole(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number in [{low}, {high}]")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds in [0, 86400]")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
