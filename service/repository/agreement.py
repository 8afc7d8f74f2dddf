"""What the workers of one service agree on: a folder with what is wanted and what is served.

Whoever accepts a change writes the wanted config there, whole and at once. Every worker
follows it and publishes what came of it; who must wait, waits for all of them.

    wanted.pbtxt          the ModelServerConfig to serve
    known.pbtxt           every model that was ever wanted, so that one can be loaded again
    told.pbtxt            what flags or config file said last
    turn.lock             held by whoever has a change made and waits for it
    change.lock           held for as long as what is wanted is read and written
    served/<pid>.json     what a worker made of it
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from service.errors import DeadlineExceeded, NotPossibleNow
from service.repository.config import parse_config, read_logging, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from service.repository.config import ModelConfig

_WANTED: Final = "wanted.pbtxt"
_KNOWN: Final = "known.pbtxt"
_TOLD: Final = "told.pbtxt"
_TURN: Final = "turn.lock"
_CHANGE: Final = "change.lock"
_SERVED: Final = "served"
_POLL_S: Final = 0.02

_log: Final = logging.getLogger("hearth.repository")


class Served(msgspec.Struct, frozen=True):
    """What one worker made of the wanted config.

    Attributes:
        serial: Which config it has followed.
        versions: Numbers of the versions served, by model.
        problems: Models of which none is served, with the reason.
    """

    serial: str
    versions: dict[str, list[int]]
    problems: dict[str, str]


class Agreement:
    """The folder.

    Args:
        folder: Where; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / _SERVED).mkdir(parents=True, exist_ok=True)

    def folder(self, name: str) -> Path:
        """A folder for something else that the workers share; made by whoever needs it."""
        return self._folder / name

    def want(self, configs: Sequence[ModelConfig]) -> str:
        """Ask all workers to serve this and nothing else.

        Returns:
            The config's serial.
        """
        before = {config.name: config for config in self.known()}
        _warn_of_logging(configs, before)
        known = before | {config.name: config for config in configs}
        _replace(self._folder / _KNOWN, to_text(list(known.values())).encode())
        text = to_text(configs)
        _replace(self._folder / _WANTED, text.encode())
        return _serial(text)

    def follow(self, configs: Sequence[ModelConfig]) -> None:
        """Ask for what flags or config file say, unless they have said just that before.

        Every worker reads the file and tells of it, also one that takes another's place;
        only the first to see a change makes it, so that a later change is not undone.
        """
        path = self._folder / _TOLD
        text = to_text(configs).encode()
        with self.changing():
            if path.exists() and path.read_bytes() == text:
                return
            self.want(configs)
            _replace(path, text)

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """Hold off whoever else has a change made, until this one has come to its end."""
        return _held(self._folder / _TURN)

    def changing(self) -> contextlib.AbstractContextManager[None]:
        """Hold off other changes while what is wanted is read and written."""
        return _held(self._folder / _CHANGE)

    def wanted(self) -> tuple[str, list[ModelConfig]]:
        """What is to be served, and its serial."""
        text = (self._folder / _WANTED).read_text()
        return _serial(text), parse_config(text)

    def known(self) -> list[ModelConfig]:
        """Every model that was ever wanted, as it was wanted last."""
        path = self._folder / _KNOWN
        return parse_config(path.read_text()) if path.exists() else []

    def publish(self, served: Served) -> None:
        """Tell the others what this worker serves."""
        _replace(self._path(os.getpid()), msgspec.json.encode(served))

    def forget_worker(self, pid: int) -> None:
        """A worker has ended: nobody waits for it any more."""
        self._path(pid).unlink(missing_ok=True)

    def wait(self, serial: str, limit_s: float) -> list[Served]:
        """Wait until every worker has followed a config.

        Args:
            serial: Which config.
            limit_s: Seconds to wait at most.

        Returns:
            What each of them serves.

        Raises:
            DeadlineExceeded: Some have not followed in time.
            NotPossibleNow: Another config has taken its place.
        """
        deadline_s = time.monotonic() + limit_s
        while True:
            served = list(self._published())
            if served and all(it.serial == serial for it in served):
                return served
            if self._wanted_serial() != serial:
                raise NotPossibleNow("another configuration has taken the place of this one")
            if time.monotonic() > deadline_s:
                late = sum(it.serial != serial for it in served)
                raise DeadlineExceeded(
                    f"{late} of {len(served)} workers have not followed within {limit_s:g} s"
                )
            time.sleep(_POLL_S)

    def _wanted_serial(self) -> str:
        return _serial((self._folder / _WANTED).read_text())

    def _published(self) -> Iterable[Served]:
        for path in sorted((self._folder / _SERVED).glob("*.json")):
            # A worker that ends takes its file along.
            with contextlib.suppress(FileNotFoundError):
                yield msgspec.json.decode(path.read_bytes(), type=Served)

    def _path(self, pid: int) -> Path:
        return self._folder / _SERVED / f"{pid}.json"


def _warn_of_logging(configs: Iterable[ModelConfig], before: Mapping[str, ModelConfig]) -> None:
    """Name the models whose requests cannot be logged as asked, once: one worker asks for all."""
    for config in configs:
        told = before[config.name].logging if config.name in before else None
        asked = read_logging(config)
        if asked is not None and asked.problem and config.logging != told:
            _log.warning("model %s: its requests are not logged: %s", config.name, asked.problem)


def _serial(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold a lock against every other thread and process."""
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # each opening has a lock of its own
        yield


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it into it."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        made.write_bytes(content)
        made.replace(path)
