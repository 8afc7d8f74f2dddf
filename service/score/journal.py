"""What is done of a run, kept beside its output, so that a later run goes on.

    <folder>/plan.json            what is scored by what: a run that differs may not go on
    <folder>/done/00000003.json   the unit is written, with its rows; comes after its part
    <folder>/bad/00000003.arrow   which of its rows were set aside, and why
    <folder>/drafts/              what is being written

Each is written as a draft and renamed, after the part that it tells of. Whoever is
killed in between has done nothing: the unit is done again, with the same result.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.score.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from service.score.places import Place


@dataclass(frozen=True)
class Done:
    """A unit that is written.

    Attributes:
        number: Which.
        file_number: The file that it is of.
        size: How much of that file's ``size`` it was.
        rows: Its rows.
        bad: How many of them were set aside.
        example: Why one of them was; empty where none was.
    """

    number: int
    file_number: int
    size: int
    rows: int
    bad: int = 0
    example: str = ""


@dataclass(frozen=True)
class Journal:
    """What is done of a run.

    Attributes:
        folder: Where it is kept.
    """

    folder: Place

    @property
    def drafts(self) -> Place:
        """Where files are written before they take their places."""
        return self.folder / "drafts"

    def part_name(self, number: int) -> str:
        """What the files of a unit are called, without an ending."""
        return f"{number:08d}"

    def bad(self, number: int) -> Place:
        """Where a unit's bad rows are listed, if it has some."""
        return self.folder / "bad" / f"{self.part_name(number)}.arrow"

    def note(self, done: Done) -> None:
        """Note that a unit is written."""
        place = self.folder / "done" / f"{self.part_name(done.number)}.json"
        place.write(json.dumps(asdict(done)).encode(), self.drafts)

    def done(self) -> dict[int, Done]:
        """The units that are written, by number."""
        folder = self.folder / "done"
        names = sorted(it for it in folder.names() if it.endswith(".json"))
        found = (Done(**json.loads((folder / it).read())) for it in names)
        return {it.number: it for it in found}

    def plan(self) -> dict[str, Any] | None:
        """What the run that is there scores; None where there is none."""
        place = self.folder / "plan.json"
        if not place.exists():
            return None
        found: dict[str, Any] = json.loads(place.read())
        return found

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Note what is scored."""
        content = json.dumps(dict(plan), indent=1).encode()
        (self.folder / "plan.json").write(content, self.drafts)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs of this machine away.

        Raises:
            TableError: One is at work.
        """
        if not self.folder.is_local:
            yield
            return
        path = Path(self.folder.path)
        path.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                _lock(path, stack)
            except (BlockingIOError, FileNotFoundError) as error:
                raise TableError(f"{self.folder} is being written by another run") from error
            yield


def _lock(folder: Path, stack: contextlib.ExitStack) -> None:
    """Keep a folder until a stack is left.

    Raises:
        BlockingIOError: Another process has it.
        FileNotFoundError: One had it, and has removed it.
    """
    handle = os.open(folder, os.O_RDONLY)
    stack.callback(os.close, handle)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not os.path.samestat(folder.stat(), os.fstat(handle)):
        raise FileNotFoundError(folder)
