"""Files and folders on this machine or in an object store, by path or URL."""

from __future__ import annotations

import contextlib
import os
import posixpath
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from service.score.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Place:
    """A file or a folder, there or not.

    Attributes:
        system: The file system, as fsspec has it.
        path: The path in it.
    """

    system: Any
    path: str

    @classmethod
    def of(cls, text: str) -> Place:
        """Read a path or URL, such as ``houses.parquet`` or ``s3://bucket/houses``.

        Raises:
            TableError: Nothing here knows such URLs.
        """
        try:
            system, path = fsspec.url_to_fs(text)
        except (ValueError, ImportError) as error:
            raise TableError(f"{text}: {error}") from error
        return cls(system, path.rstrip("/") or path)

    def __str__(self) -> str:
        if not self.is_local:
            return str(self.system.unstrip_protocol(self.path))
        path = Path(self.path)
        here = Path.cwd()
        return str(path.relative_to(here)) if path.is_relative_to(here) else self.path

    def __truediv__(self, name: str) -> Place:
        return Place(self.system, posixpath.join(self.path, name))

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine."""
        return isinstance(self.system, LocalFileSystem)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)

    def beside(self, ending: str) -> Place:
        """The place whose name has an ending more."""
        return Place(self.system, self.path + ending)

    def exists(self) -> bool:
        """Whether something is there."""
        return bool(self.system.exists(self.path))

    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return bool(self.system.isdir(self.path))

    def contains(self, other: Place) -> bool:
        """Whether another place is this one, or below it."""
        return type(self.system) is type(other.system) and (
            other.path == self.path or other.path.startswith(self.path.rstrip("/") + "/")
        )

    def names(self) -> set[str]:
        """What lies in a folder; nothing where there is none."""
        self.system.invalidate_cache(self.path)
        try:
            found = self.system.ls(self.path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return set()
        return {posixpath.basename(it.rstrip("/")) for it in found}

    def files(self) -> list[Place]:
        """All files below a folder, or all that fit a pattern, or the file itself, sorted."""
        if self.is_folder():
            found = self.system.find(self.path)
        elif "*" in self.path:
            found = [it for it in self.system.glob(self.path) if not self.system.isdir(it)]
        else:
            found = [self.path] if self.exists() else []
        return [Place(self.system, it) for it in sorted(found)]

    def mark(self) -> str:
        """A text that is another when the file's content is."""
        return str(self.system.ukey(self.path))

    def size(self) -> int:
        """Bytes of a file."""
        return int(self.system.size(self.path))

    def open(self) -> Any:
        """Open a file to be read, as bytes."""
        return self.system.open(self.path, "rb")

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Some bytes of a file."""
        return bytes(self.system.cat_file(self.path, start=start, end=stop))

    def write(self, content: bytes, drafts: Place) -> None:
        """Put a small file in its place, whole; see ``replacing``."""
        with self.replacing(drafts) as path:
            path.write_bytes(content)

    @contextlib.contextmanager
    def replacing(self, drafts: Place) -> Iterator[Path]:
        """Write a file elsewhere; it takes this place when it is complete.

        An object store has no renaming, but shows an object only when all of it is there.

        Args:
            drafts: The folder to write it in, on the same disk; not used for an object store.

        Yields:
            The file to write, on this machine.

        Raises:
            OSError: It cannot be written; names this place.
        """
        folder = Path(drafts.path if self.is_local else tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{self.name}.{uuid.uuid4().hex}"
        try:
            yield draft
            self._take(draft)
        except OSError as error:
            if error.filename is None and error.strerror is not None:
                error.filename = str(self)  # a full disk does not say where
            raise
        finally:
            draft.unlink(missing_ok=True)

    def _take(self, file: Path) -> None:
        if not self.is_local:
            self.system.put_file(str(file), self.path)
            return
        with file.open("rb") as written:
            os.fsync(written.fileno())
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        file.replace(self.path)

    def remove(self) -> None:
        """Remove a file, or a folder with all in it, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.system.rm(self.path, recursive=True)
