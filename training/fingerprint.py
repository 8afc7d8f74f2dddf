"""What a version is made from: data, recipe, code and packages.

Equal fingerprints mean equal weights, so a run whose fingerprint the newest version has
need not be made. Knows no heavy library: this is what a run without changes pays for.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from service import contract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from training.recipe import Recipe

# What is stored beside a recipe's knobs.
DESCRIBED: Final = "columns_sha256"
STREAMED: Final = "streamed"
WORKERS: Final = "workers"
BESIDE: Final = frozenset({DESCRIBED, STREAMED, WORKERS})

# Those that shape the weights, or the files that hold them.
_PACKAGES: Final = ("tensorflow", "keras", "numpy", "pandas")


@dataclass(frozen=True)
class Fingerprint:
    """What a version is made from.

    Attributes:
        recipe: Every knob, as JSON has it.
        data_sha256: Hash of the table's bytes.
        code_sha256: Hash of the training code and of the contract's.
        packages: Version of each package that shapes the weights, and of Python.
    """

    recipe: dict[str, Any]
    data_sha256: str
    code_sha256: str
    packages: dict[str, str]


def take(
    recipe: Recipe,
    data: bytes | Path,
    described: bytes = b"",
    *,
    streamed: bool = False,
    workers: int = 1,
) -> Fingerprint:
    """Take the fingerprint of a run before it is made.

    Args:
        recipe: How it would train.
        data: The table's bytes, or where they are.
        described: What is said of the table's columns; kept beside the recipe, by its hash.
        streamed: Whether the table is not kept in memory; kept beside the recipe too.
        workers: How many train together, if there are several; kept beside the recipe too.

    Raises:
        OSError: The table cannot be read.
    """
    knobs: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(asdict(recipe)))
    if described:
        knobs[DESCRIBED] = hashlib.sha256(described).hexdigest()
    if streamed:
        knobs[STREAMED] = True
    if workers > 1:
        knobs[WORKERS] = workers
    return Fingerprint(
        recipe=knobs,
        data_sha256=hash_data(data),
        code_sha256=hash_files(_code()),
        packages={name: version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
    )


def of(described: contract.Contract) -> Fingerprint:
    """The fingerprint that a published version was made with."""
    lineage = described.lineage
    return Fingerprint(described.recipe, lineage.data_sha256, lineage.code_sha256, lineage.packages)


def hash_data(data: bytes | Path) -> str:
    """Hash a table's bytes, or the file that has them."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_recipe(recipe: dict[str, Any]) -> str:
    """Hash a recipe, whatever the order of its knobs."""
    return hashlib.sha256(msgspec.json.encode(recipe, order="sorted")).hexdigest()


def commit() -> str:
    """The commit that the code stands at, with ``-dirty`` where it was changed; empty for none."""
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty"]
    try:
        said = subprocess.run(  # noqa: S603 - nothing of it comes from outside
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.stdout.strip()


def hash_files(files: Iterable[tuple[str, bytes]]) -> str:
    """Hash files by name and content; one that changes, comes, goes or moves changes it.

    Args:
        files: Name and content of each; their order does not matter.
    """
    whole = hashlib.sha256()
    for name, content in sorted(files):
        whole.update(f"{name} {len(content)}\n".encode())
        whole.update(content)
    return whole.hexdigest()


def _code() -> list[tuple[str, bytes]]:
    package = Path(__file__).parent
    sources = [*package.rglob("*.py"), *(package / "templates").iterdir()]
    named = [(path.relative_to(package).as_posix(), path.read_bytes()) for path in sources]
    return [*named, ("service/contract.py", Path(contract.__file__).read_bytes())]
