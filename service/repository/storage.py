"""What lies in a model's folder: its versions, and whether their files are changing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

Fingerprint: TypeAlias = tuple[tuple[str, int, int], ...]

_MAX_VERSION = 2**63 - 1


def find_versions(base_path: Path) -> dict[int, Path]:
    """Find the version folders below a model's base path.

    As in TensorFlow Serving, a version is a folder whose name is a number; leading
    zeros count for nothing. Any other name is passed over.

    Args:
        base_path: The model's folder.

    Returns:
        Folders by version number.

    Raises:
        OSError: The base path cannot be listed.
    """
    with os.scandir(base_path) as entries:
        # A listing says of what kind most entries are; to ask for each by its name would find
        # none where the storage goes away in between.
        names = sorted(it.name for it in entries if _is_version(it.name) and it.is_dir())
    base_path.stat()  # of links each was asked for: that counts only if the storage is there still
    return {int(name): base_path / name for name in names}


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and int(name) <= _MAX_VERSION


def fingerprint(version: Path) -> Fingerprint:
    """Names, sizes in bytes and times in ns of a version's files: equal while nothing changes.

    Raises:
        OSError: The folder cannot be listed.
    """
    entries = []
    for path in sorted(version.rglob("*")):
        stat = _stat(path)
        entries.append((path.relative_to(version).as_posix(), stat.st_size, stat.st_mtime_ns))
    return tuple(entries)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        return path.lstat()  # a link to nowhere; a file that has just gone raises again
