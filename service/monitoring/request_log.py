"""The request log: sampled requests with their answers, in files that rotate, by a thread apart.

What is to be logged waits in a bounded queue; what finds it full is dropped and counted, so that
no answer ever waits for a disk. A file that is being written has ``.part`` behind its name and a
lock, by which one that a dead worker left is told from one that is still written to. If a file
cannot be written, its log stops for a minute, says so, and counts what it misses.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import numpy as np

from service.monitoring.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from service.contract import Contract
    from service.exchange import Computed, Exchange

TFRECORD: Final = "tfrecord"
PARQUET: Final = "parquet"
# What a request comes to that was to be logged.
WRITTEN, DROPPED, FAILED = "written", "dropped", "failed"

PART: Final = ".part"
_PAUSE_S: Final = 60.0

_log: Final = logging.getLogger("hearth.request_log")


class Entry(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A request to be logged.

    Attributes:
        time_s: When it was answered, seconds since 1970.
        request_id: Its id.
        computed: What a version computed for it.
        share: The share of such requests that is logged.
    """

    time_s: float
    request_id: str
    computed: Computed
    share: float


class File(Protocol):
    """A file that entries are written to."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Write all of them, or raise and leave the file as it was."""

    def close(self) -> None:
        """Make it complete."""


class Form(Protocol):
    """A form of file.

    Attributes:
        suffix: What its names end in.
        is_whole_at_any_time: A file that was not closed can be read.
    """

    suffix: str
    is_whole_at_any_time: bool

    def group(self, entry: Entry) -> str:
        """Which entries may stand in one file: a part of its name, or nothing."""

    def create(self, descriptor: int, entry: Entry) -> File:
        """Begin a file for entries like this one.

        Args:
            descriptor: Where to write; the file closes it.
            entry: The first entry.

        Raises:
            OSError: It cannot be written.
            ImportError: What writes it is not installed.
        """


@dataclass(frozen=True)
class Target:
    """How a model's requests are logged.

    Attributes:
        form: ``tfrecord`` or ``parquet``.
        prefix: What the files' paths begin with.
        share: The share of requests to log, in [0, 1].
    """

    form: str
    prefix: Path
    share: float


@dataclass(frozen=True)
class Limits:
    """When files end, and when they go.

    Attributes:
        file_bytes: Bytes from which a file is followed by the next.
        file_s: Seconds from which it is.
        total_bytes: Bytes that the files of one prefix take at the most; the oldest go first.
    """

    file_bytes: int
    file_s: float
    total_bytes: int


@dataclass
class _Open:
    """A file that is being written."""

    path: Path
    descriptor: int
    file: File
    since_s: float

    def is_full(self, limits: Limits, now_s: float) -> bool:
        return (
            os.fstat(self.descriptor).st_size >= limits.file_bytes
            or now_s - self.since_s >= limits.file_s
        )


class RequestLog:
    """The log of one worker.

    Args:
        target: How a model's requests are logged, by its name; None for not at all.
        forms: The forms by name.
        limits: When files end, and when they go.
        count: Told of a model, what its requests came to, and how many.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        target: Callable[[str], Target | None],
        forms: Mapping[str, Form],
        limits: Limits,
        count: Callable[[str, str, int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._target = target
        self._count = count
        self._clock = clock
        self._writer = _Writer(forms, limits, count, clock)
        self._backlog: Backlog[tuple[Target, Entry]] = Backlog(
            "request-log", self._write, self._writer.close
        )

    def observe(self, exchanges: Sequence[Exchange]) -> None:
        """Let a sample of requests wait to be written; see ``Observer``."""
        targets = {it.model: self._target(it.model) for it in exchanges}
        if not any(targets.values()):
            return
        now_s, dropped = self._clock(), dict.fromkeys(targets, 0)
        for exchange in exchanges:
            target, computed = targets[exchange.model], exchange.computed
            if target is None or computed is None or random.random() >= target.share:  # noqa: S311 - a sample
                continue
            entry = Entry(now_s, exchange.request_id, computed, target.share)
            dropped[exchange.model] += not self._backlog.put((target, entry))
        for model, missed in dropped.items():
            if missed:
                self._count(model, DROPPED, missed)
        self._backlog.wake()

    def close(self) -> None:
        """Write what waits, and end the files."""
        self._backlog.close()

    def _write(self, waiting: list[tuple[Target, Entry]]) -> None:
        by_target: dict[Target, list[Entry]] = {}
        for target, entry in waiting:
            by_target.setdefault(target, []).append(entry)
        for target, entries in by_target.items():
            self._writer.write(target, entries)
        self._writer.end_old()


@dataclass
class _Writer:
    """Files by target and group; for one thread alone."""

    forms: Mapping[str, Form]
    limits: Limits
    count: Callable[[str, str, int], None]
    clock: Callable[[], float]
    files: dict[tuple[Target, str], _Open] = field(default_factory=dict)
    paused_until_s: dict[Target, float] = field(default_factory=dict)
    made: int = 0

    def write(self, target: Target, entries: Sequence[Entry]) -> None:
        """Write entries, or count them as failed."""
        groups: dict[str, list[Entry]] = {}
        for entry in entries:
            groups.setdefault(self.forms[target.form].group(entry), []).append(entry)
        for group, several in groups.items():
            model = several[0].computed.version.model
            try:
                self._write(target, group, several)
                self.count(model, WRITTEN, len(several))
            except _Paused:
                self.count(model, FAILED, len(several))
            except Exception as error:  # noqa: BLE001 - whatever a disk or a library finds wrong
                self.count(model, FAILED, len(several))
                self._pause(target, error)

    def end_old(self) -> None:
        """End the files that are full or old."""
        now_s = self.clock()
        for key, opened in list(self.files.items()):
            if opened.is_full(self.limits, now_s):
                self._end(key)

    def close(self) -> None:
        """End all files."""
        for key in list(self.files):
            self._end(key)

    def _write(self, target: Target, group: str, entries: Sequence[Entry]) -> None:
        if self.clock() < self.paused_until_s.get(target, 0.0):
            raise _Paused
        key = (target, group)
        opened = self.files.get(key)
        if opened is None:
            opened = self.files[key] = self._create(target, group, entries[0])
        opened.file.write(entries)
        if opened.is_full(self.limits, self.clock()):
            self._end(key)

    def _create(self, target: Target, group: str, entry: Entry) -> _Open:
        form = self.forms[target.form]
        target.prefix.parent.mkdir(parents=True, exist_ok=True)
        _adopt(target, form)
        _tidy(target, form, self.limits.total_bytes - self.limits.file_bytes)
        self.made += 1
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.clock()))
        stem = "-".join(filter(None, [str(target.prefix), group, moment, str(os.getpid())]))
        path = Path(f"{stem}-{self.made}{form.suffix}{PART}")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return _Open(path, descriptor, form.create(descriptor, entry), self.clock())

    def _end(self, key: tuple[Target, str]) -> None:
        opened = self.files.pop(key)
        try:
            opened.file.close()
            _complete(opened.path)
            _tidy(key[0], self.forms[key[0].form], self.limits.total_bytes)
        except Exception as error:  # noqa: BLE001 - as above
            with contextlib.suppress(OSError):
                _leave(opened.path, self.forms[key[0].form])
            self._pause(key[0], error)

    def _pause(self, target: Target, error: Exception) -> None:
        _log.warning("%s* cannot be written, for a minute it is not: %s", target.prefix, error)
        self.paused_until_s[target] = self.clock() + _PAUSE_S
        for key in [it for it in self.files if it[0] == target]:
            opened = self.files.pop(key)
            with contextlib.suppress(Exception):
                opened.file.close()
            with contextlib.suppress(OSError):
                _leave(opened.path, self.forms[target.form])


class _Paused(Exception):
    """Nothing is written just now."""


def _leave(path: Path, form: Form) -> None:
    """Give up a file that was not closed."""
    if form.is_whole_at_any_time:
        _complete(path)
        return
    _log.warning("%s was left unfinished and cannot be read: it is removed", path)
    path.unlink()


def _complete(path: Path) -> None:
    """Give a file its lasting name; one without content goes."""
    if path.stat().st_size == 0:
        path.unlink()
        return
    path.rename(path.with_suffix(""))


def _beginning_with(target: Target, ending: str) -> Iterator[Path]:
    return (
        it
        for it in target.prefix.parent.iterdir()
        if it.name.startswith(f"{target.prefix.name}-") and it.name.endswith(ending)
    )


def _adopt(target: Target, form: Form) -> None:
    """Complete the files that workers left who are dead: nobody holds their lock."""
    for path in _beginning_with(target, f"{form.suffix}{PART}"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _leave(path, form)


def _tidy(target: Target, form: Form, total_bytes: int) -> None:
    """Remove the oldest files until those of a prefix have so many bytes at the most."""
    sizes: dict[Path, tuple[float, int]] = {}
    for path in _beginning_with(target, form.suffix):
        with contextlib.suppress(FileNotFoundError):  # another worker tidies up too
            status = path.stat()
            sizes[path] = (status.st_mtime, status.st_size)
    written = sum(it.stat().st_size for it in _beginning_with(target, f"{form.suffix}{PART}"))
    total = written + sum(size for _, size in sizes.values())
    for path in sorted(sizes, key=lambda it: sizes[it]):
        if total <= total_bytes:
            return
        path.unlink(missing_ok=True)
        total -= sizes[path][1]


def without(computed: Computed, names: Iterable[str]) -> Mapping[str, NDArray[Any]]:
    """A request's inputs with some features made alike: what is not to be kept is not there.

    A tensor cannot do without a column, and a request that is to be run again must make sense:
    the feature has its training's median, and what no contract describes is 0 or empty.
    """
    contract, hidden = computed.version.contract, frozenset(names)
    inputs = dict(computed.inputs)
    for name in hidden & inputs.keys():
        inputs[name] = np.full_like(inputs[name], _typical(contract, name, inputs[name].dtype))
    if contract is not None and contract.input in inputs and hidden:
        batch = inputs[contract.input].copy()
        for index, feature in enumerate(contract.features):
            if feature.name in hidden and batch.ndim == 2:
                batch[:, index] = feature.training.median
        inputs[contract.input] = batch
    return inputs


def _typical(contract: Contract | None, name: str, dtype: np.dtype[Any]) -> Any:
    medians = {} if contract is None else {it.name: it.training.median for it in contract.features}
    return medians.get(name, b"" if dtype.kind == "O" else 0)
