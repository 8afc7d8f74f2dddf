"""The model's folder: which versions it has, and how one gets in.

A version is built in a hidden folder beside the others, where no server looks, made
durable, and renamed to the next number. It is there whole or not at all.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager
from errno import EEXIST, ENOTDIR, ENOTEMPTY
from itertools import count
from typing import TYPE_CHECKING, Final

from training.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What a rename says when another trainer took the number first.
_TAKEN: Final = (EEXIST, ENOTDIR, ENOTEMPTY)


def newest(model: Path) -> Path | None:
    """The folder of the newest version, or None where there is none.

    Args:
        model: The folder that holds the model's versions.
    """
    numbered = [path for path in _numbered(model) if path.is_dir()]
    return max(numbered, key=lambda path: int(path.name), default=None)


def numbers(model: Path) -> list[int]:
    """The numbers of the versions, ascending.

    Args:
        model: The folder that holds the model's versions.
    """
    return sorted(int(path.name) for path in _numbered(model) if path.is_dir())


def write_beside(path: Path, content: bytes) -> None:
    """Write a file beside its place, durable, and rename it into it.

    Args:
        path: Its place, in a folder that is there.
        content: What it holds.

    Raises:
        OSError: It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.write_bytes(content)
        _sync_one(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    _sync_one(path.parent)


@contextmanager
def hidden_folder(model: Path) -> Iterator[Path]:
    """A new folder to build a version in; what is not published by the end is removed.

    Args:
        model: The folder that holds the model's versions; made where it is missing.

    Raises:
        PublishError: It cannot be made there.
    """
    # Not tempfile's: that one is closed to the server's user, and stays so when renamed.
    folder = model / f".new-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise _refused(model, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(built: Path, model: Path) -> Path:
    """Make a complete version durable and rename it to the number after the last.

    Args:
        built: The hidden folder, in ``model``.
        model: The folder that holds the model's versions.

    Returns:
        The version's folder.

    Raises:
        PublishError: It cannot be written to the disk or renamed.
    """
    try:
        _sync(built)
        published = _rename(built, model)
        _sync_one(model)
    except OSError as error:
        raise _refused(model, error) from error
    return published


def _numbered(model: Path) -> list[Path]:
    if not model.is_dir():
        return []
    return [path for path in model.iterdir() if path.name.isascii() and path.name.isdigit()]


def _rename(built: Path, model: Path) -> Path:
    last = max((int(path.name) for path in _numbered(model)), default=0)
    for number in count(last + 1):
        place = model / str(number)
        try:
            return built.rename(place)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
    raise AssertionError("count() does not end")


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync_one(path)
    _sync_one(folder)


def _sync_one(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _refused(model: Path, error: OSError) -> PublishError:
    return PublishError(f"{model} cannot take a new version: {error.strerror}")
