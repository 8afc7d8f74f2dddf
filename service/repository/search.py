"""Where in a folder the model lies: platforms unpack an archive, and archives differ.

FOLDER/saved_model.pb                the folder is a version
FOLDER/1/saved_model.pb              it holds versions
FOLDER/housing/1/saved_model.pb      it holds a model; so does export/Servo/1 below it
"""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Final

from service.contract import LITERT_MODEL, SAVED_MODEL
from service.errors import InvalidRequest
from service.repository.storage import find_versions

if TYPE_CHECKING:
    from pathlib import Path

_DEPTH: Final = 3  # folders below the first, as in export/Servo/1
_log: Final = logging.getLogger("hearth.repository")


def find_model(folder: Path, links: Path) -> Path:
    """Find the folder of a model's versions.

    Args:
        folder: Where to look.
        links: A folder of our own, for a link where the model is a lone version: its number
            is its folder's name if that is one, else 1.

    Returns:
        The folder of versions; the folder itself if there is no model below it yet.

    Raises:
        InvalidRequest: There are several models.
    """
    level = [folder]
    for _ in range(_DEPTH):
        found = [path for path in level if _is_version(path) or _holds_versions(path)]
        if len(found) > 1:
            names = ", ".join(str(path) for path in found)
            raise InvalidRequest(
                f"{folder} holds several models ({names}): name one with --model_base_path, "
                "or all in a --model_config_file"
            )
        if found:
            return _link(found[0], links) if _is_version(found[0]) else found[0]
        level = [path for parent in level for path in _folders(parent)]
    return folder


def _is_version(path: Path) -> bool:
    return (path / SAVED_MODEL).is_file() or (path / LITERT_MODEL).is_file()


def _holds_versions(path: Path) -> bool:
    try:
        return bool(find_versions(path))
    except OSError:
        return False


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(it for it in path.iterdir() if it.is_dir())
    except OSError:
        return []


def _link(version: Path, links: Path) -> Path:
    name = version.name
    number = name if name.isascii() and name.isdigit() else "1"
    link, target = links / number, version.resolve()
    if not (link.is_symlink() and link.readlink() == target):
        shutil.rmtree(links, ignore_errors=True)
        links.mkdir(parents=True)
        link.symlink_to(target, target_is_directory=True)
    _log.info("%s is served as version %s", version, number)
    return links
