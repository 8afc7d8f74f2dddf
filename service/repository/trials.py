"""Which versions are loaded in a process of their own before a worker loads them, and which were.

A network can crash whoever loads it, never come to an end, or take all memory. So a version that
comes while others are served is tried first. At a worker's first look nothing is served yet, and a
trial would double its start: a version is loaded at once then, and this is noted; if it ends the
worker, or keeps it too long, the note is found by the worker that takes its place, and there the
version is tried.

In a folder that all workers share, by place and files of the version:

<key>.<pid>     the worker of this number is loading it
<key>.verdict   what came of its trial
lock            held by the worker that tries one
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Final

import msgspec

from service.errors import VersionRefused
from service.repository.storage import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Try = Callable[[str, int, Path], str]

_VERDICT: Final = ".verdict"
# Seconds in which a refusal counts for the other workers, which see the version at about the
# same time; later it is tried again.
_FRESH_S: Final = 10.0
_KEPT: Final = 256
_GIVEN_UP: Final = 1

_log: Final = logging.getLogger("hearth.repository")


class _Verdict(msgspec.Struct, frozen=True):
    """What came of a trial: why the version is refused, or nothing, and when on this machine."""

    reason: str
    at_s: float


class Trials:
    """The trials of one worker.

    Args:
        folder: Shared by all workers; made if it is not there.
        ask: Tries a version; gives the reason against it, or nothing.
        limit_s: Seconds that a load at the first look may take.
        give_up: Ends this worker, whose first look does not end.

    Attributes:
        started: The first look is over: something may be served.
    """

    def __init__(
        self,
        folder: Path,
        ask: Try,
        limit_s: float,
        give_up: Callable[[], None] = lambda: os._exit(_GIVEN_UP),
    ) -> None:
        self.started = False
        self._folder = folder
        self._ask = ask
        self._limit_s = limit_s
        self._give_up = give_up
        folder.mkdir(parents=True, exist_ok=True)

    def is_needed(self, path: Path) -> bool:
        """Whether a version in a folder is to be tried before it is loaded."""
        if self.started:
            return True
        key = _key(path)
        verdict = self._read(key)
        return any(self._left(key)) or (verdict is not None and bool(verdict.reason))

    def require(self, model: str, number: int, path: Path) -> None:
        """Try a version, unless another worker has.

        Args:
            model: The model's name.
            number: The version's number.
            path: Its folder.

        Raises:
            VersionRefused: It is not to be loaded.
            NotPossibleNow: It could not be tried.
        """
        key = _key(path)
        with (self._folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # given up by the system when its holder ends
            reason = self._known(key)
            if reason is None:
                reason = self._try(key, model, number, path)
        if reason:
            raise VersionRefused(reason)
        if _key(path) != key:
            raise VersionRefused("its files changed while it was tried")

    @contextlib.contextmanager
    def noted(self, path: Path) -> Iterator[None]:
        """Note that this worker loads a version, as long as it does."""
        note = self._folder / f"{_key(path)}.{os.getpid()}"
        note.touch()
        timer = threading.Timer(self._limit_s, self._end, (path,))
        timer.daemon = True
        if not self.started:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
            note.unlink(missing_ok=True)

    def _end(self, path: Path) -> None:
        _log.critical("this worker ends: it could not load %s in %g s", path, self._limit_s)
        self._give_up()

    def _try(self, key: str, model: str, number: int, path: Path) -> str:
        started_s = time.monotonic()
        reason = self._ask(model, number, path)
        _log.info(
            "tried %s version %d in %.2f s: %s",
            model, number, time.monotonic() - started_s, reason or "it may be loaded",
        )  # fmt: skip
        try:
            self._write(key, _Verdict(reason, time.monotonic()))
        except OSError as error:  # the other workers make the trial themselves then
            _log.warning("the verdict cannot be kept: %s", error.strerror)
        if not reason:
            for note in self._left(key):
                note.unlink(missing_ok=True)
        return reason

    def _known(self, key: str) -> str | None:
        """The reason that another worker has found, or nothing; None where none has looked."""
        verdict = self._read(key)
        if verdict is None or any(self._left(key)):
            return None
        fresh = time.monotonic() - verdict.at_s < _FRESH_S
        return verdict.reason if fresh or not verdict.reason else None

    def _left(self, key: str) -> Iterator[Path]:
        """Notes of workers that have ended over a version."""
        return (
            note
            for note in self._folder.glob(f"{key}.*")
            if note.suffix != _VERDICT and not _lives(int(note.suffix[1:]))
        )

    def _read(self, key: str) -> _Verdict | None:
        try:
            content = (self._folder / f"{key}{_VERDICT}").read_bytes()
        except FileNotFoundError:
            return None
        return msgspec.json.decode(content, type=_Verdict)

    def _write(self, key: str, verdict: _Verdict) -> None:
        beside = self._folder / f"making-{os.getpid()}"
        beside.write_bytes(msgspec.json.encode(verdict))
        beside.replace(self._folder / f"{key}{_VERDICT}")
        verdicts = self._folder.glob(f"*{_VERDICT}")
        for old in sorted(verdicts, key=lambda it: it.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)


def _key(path: Path) -> str:
    return hashlib.sha256(repr((str(path.absolute()), fingerprint(path))).encode()).hexdigest()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
