"""``python -m tests.fuzz``: try every target on mangled seeds for a while; say how many were tried.

What does harm is written to ``--found``, to become a seed and a test.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.mutation import Search, seeds_of
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Try them.

    Returns:
        The exit code: 1 if anything was found.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--seed", type=int, default=None, help="where chance begins")
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"))
    given = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # what is found is shown here
    names = given.target or list(TARGETS)
    searches = [
        _search(name, random.Random(given.seed), given.seconds / len(names), given.found)
        for name in names
    ]
    print(f"{sum(it.tried for it in searches):,} inputs tried")
    return 1 if any(it.found for it in searches) else 0


def _search(name: str, chance: random.Random, seconds: float, found: Path) -> Search:
    search = Search(TARGETS[name], seeds_of(name), chance)
    search.try_seeds()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        search.step()
    counts = f"{search.tried:9,} tried, {len(search.places):4} places, {len(search.found)} found"
    print(f"{name:22} {counts}")
    for what, data in search.found.items():
        file = found / name / hashlib.sha256(data).hexdigest()[:16]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        print(f"  {file}: {what}")
    return search


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
