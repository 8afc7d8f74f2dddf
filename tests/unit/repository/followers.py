"""Workers as threads: each with a repository, a watcher and a pid of its own."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Self

import msgspec

from service.repository.agreement import Agreement, Served
from service.repository.repository import Repository, RetryPolicy
from service.repository.watcher import Watcher
from tests.unit.service.fakes import Witness, version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from service.repository.version import ModelVersion


class PidAgreement(Agreement):
    """An agreement that publishes under a pid of its choice, so that threads can be workers."""

    def __init__(self, folder: Path, pid: int) -> None:
        super().__init__(folder)
        self.pid = pid

    def publish(self, served: Served) -> None:
        path = self._path(self.pid)
        path.with_suffix(".new").write_bytes(msgspec.json.encode(served))
        path.with_suffix(".new").replace(path)


class Follower:
    """A worker: looks at what is wanted again and again until told to stop.

    Args:
        folder: The agreement's folder.
        pid: What it publishes under.
        load: Makes a version.

    Attributes:
        repository: Its models.
    """

    def __init__(
        self, folder: Path, pid: int, load: Callable[[str, int, Path], ModelVersion] | None = None
    ) -> None:
        self.agreement = PidAgreement(folder, pid)
        self.repository = Repository((), load or adding, Witness(), RetryPolicy(0, 0))
        self._watcher = Watcher(self.repository, self.agreement, None, 0.0)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Self:
        self._watcher.look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._stopped.wait(0.005):
            self._watcher.look()


def adding(model: str, number: int, path: Path) -> ModelVersion:
    """Load a version that adds."""
    return version(number, model=model, path=path, described=False)


@contextlib.contextmanager
def following(folder: Path, count: int = 2) -> Iterator[list[Follower]]:
    """So many workers that follow one agreement."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Follower(folder, pid)) for pid in range(1, count + 1)]
