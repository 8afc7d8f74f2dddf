"""The page's static files: read and compressed once, and named by their content.

All of them lie below one folder whose name is made from the bytes of all. So a browser may
keep each for ever, and files that name one another by relative paths always fit together.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = Path(__file__).parent / "static"
_REVISION_DIGITS: Final = 16
# What a system's own table of types may lack or name otherwise.
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class StaticFile:
    """One file.

    Attributes:
        body: Its bytes.
        packed: The same with gzip.
        content_type: Their type.
        etag: Names the bytes.
    """

    body: bytes
    packed: bytes
    content_type: str
    etag: str


class StaticFiles:
    """The files below a folder, read when the first is asked for.

    Args:
        folder: Where they lie; they do not change while the service runs.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    @cached_property
    def revision(self) -> str:
        """Names the bytes of all files: another for any change."""
        digest = hashlib.sha256()
        for name, file in sorted(self._files.items()):
            digest.update(f"{name} {file.etag}\n".encode())
        return digest.hexdigest()[:_REVISION_DIGITS]

    @property
    def names(self) -> list[str]:
        """Names of the files, as paths below the folder, sorted."""
        return sorted(self._files)

    def find(self, revision: str, name: str) -> StaticFile | None:
        """A file by the path that the page has for it; None if there is no such."""
        return self._files.get(name) if revision == self.revision else None

    @cached_property
    def _files(self) -> Mapping[str, StaticFile]:
        paths = (path for path in self._folder.rglob("*") if path.is_file())
        return {path.relative_to(self._folder).as_posix(): _read(path) for path in paths}


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return StaticFile(
        body,
        gzip.compress(body, mtime=0),
        kind or "text/plain; charset=utf-8",
        hashlib.sha256(body).hexdigest()[:_REVISION_DIGITS],
    )
