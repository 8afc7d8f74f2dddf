"""The unfinished output of a run, which a later run takes up.

A table being priced is written beside its place, as ``NAME.part``, with a note of the
model version as ``NAME.part.json``. A run that was killed is taken up there: the records
of the part are held against the input's, a torn last one is cut off, and the rest is
priced.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from typing import TYPE_CHECKING, BinaryIO

from client._csv import TableError, decoded, encoded, records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import TextIOWrapper
    from pathlib import Path

    from client._csv import Record
    from client._pricing import Pricer


class Part:
    """The unfinished output of a run, which a later run takes up.

    Args:
        output: Where the priced table will be.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.path = output.with_name(f"{output.name}.part")
        self._note = output.with_name(f"{output.name}.part.json")

    def open(self) -> BinaryIO:
        """Open it to be read and written, for this process alone.

        Raises:
            TableError: Another process is writing it.
        """
        file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        if not _is_locked(file) or not _is_at(file, self.path):
            file.close()
            raise TableError(f"{self.path} is being written by another run")
        return file

    def claim(self, file: BinaryIO, by: Mapping[str, object], *, restart: bool) -> bool:
        """Take up what is there, or begin anew where nothing is.

        Args:
            file: The part, open.
            by: The ``model`` and ``version`` that price it, and the ``level`` if there is one.
            restart: Begin anew in any case.

        Returns:
            Whether something is there to be taken up.

        Raises:
            TableError: It was priced by another model, version or level.
        """
        is_empty = os.fstat(file.fileno()).st_size == 0
        note = None if restart or is_empty else self._read_note()
        if note is None:
            file.truncate(0)
            self._note.write_text(json.dumps(by) + "\n")
            return False
        self._check_note(note, by)
        return True

    def finish(self, file: BinaryIO) -> None:
        """Put it in its place."""
        file.flush()
        os.fsync(file.fileno())
        self.path.replace(self.output)
        self._note.unlink(missing_ok=True)

    def resume(
        self, file: BinaryIO, rows: Iterator[Record], pricer: Pricer
    ) -> tuple[int, Iterator[Record]]:
        """Keep what is priced, and cut off a torn end.

        Args:
            file: The part; afterwards it stands where the next record goes.
            rows: The input's records after its header.
            pricer: Knows what a priced record looks like.

        Returns:
            How many rows are priced, and the input's records after them.

        Raises:
            TableError: The part is not the beginning of this input's output.
        """
        with self.path.open("rb") as again, decoded(again) as text:
            kept, size, rows = self._matching(_whole(text, self.path), rows, pricer)
        file.seek(size)
        file.truncate()
        return kept, rows

    def _matching(
        self, priced: Iterator[Record], rows: Iterator[Record], pricer: Pricer
    ) -> tuple[int, int, Iterator[Record]]:
        """How many rows and bytes hold good, and the input's records after them."""
        header = next(priced, None)
        if header is None or header.text != pricer.header:
            self._check_last(priced, "the header")
            return 0, 0, rows
        kept, size = 0, len(encoded(header.text))
        for done in priced:
            row = next(rows, None)
            if row is None or not pricer.is_priced(done, row):
                self._check_last(priced if row else iter([done]), f"row {kept + 1}")
                return kept, size, itertools.chain([] if row is None else [row], rows)
            kept += 1
            size += len(encoded(done.text))
        return kept, size, rows

    def _check_last(self, after: Iterator[Record], place: str) -> None:
        if next(after, None) is not None:
            raise TableError(
                f"{self.path} differs from the input at {place}: if the input has changed, "
                "begin anew with --restart"
            )

    def _read_note(self) -> dict[str, object] | None:
        try:
            note = json.loads(self._note.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return note if isinstance(note, dict) else None

    def _check_note(self, note: Mapping[str, object], by: Mapping[str, object]) -> None:
        if note == by:
            return
        if note.get("level") != by.get("level"):
            before, now = (it.get("level", "none") for it in (note, by))
            raise TableError(
                f"{self.path} was priced with level {before}, now the level is {now}: begin anew "
                "with --restart"
            )
        raise TableError(
            f"{self.path} was priced by {note.get('model')} version {note.get('version')}, "
            f"now {by['model']} version {by['version']} answers: begin anew with --restart, or go "
            f"on with --version_number {note.get('version')} while that is served"
        )


def _is_locked(file: BinaryIO) -> bool:
    """Lock a file for this process; where the system has no such locks, trust to luck."""
    if sys.platform == "win32":
        return True
    import fcntl  # noqa: PLC0415  not everywhere

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is still the one at a path: another run may have renamed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _whole(text: TextIOWrapper, path: Path) -> Iterator[Record]:
    """The records up to a torn end, which may look like an open quote."""
    with contextlib.suppress(TableError):
        yield from records(text, str(path))
