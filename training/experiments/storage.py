"""Where studies lie: a database, or a journal file that several machines share.

Optuna has both. Whoever computes a trial gives a sign of life every few seconds. Optuna looks
for signs in a database alone, and gives up a trial only after its first: here its journal keeps
them too, and a trial is given up as well if its process was killed before it gave any.

A database that goes away is asked again for as long as a trial may be silent; whoever does not
get through in that time ends, and the study goes on without.
"""

from __future__ import annotations

import functools
import inspect
import logging
import secrets
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages._rdb.models import TrialHeartbeatModel
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event, make_url, select
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from training.errors import StorageError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping

    from optuna.storages import BaseStorage
    from sqlalchemy import URL, Engine

JOURNAL: Final = "journal"

# An attribute of a trial that none of Optuna's own is called like.
_SIGN: Final = "hearth:sign_of_life"
# Signs of life that fit into the time after which a silent trial counts as lost.
_SIGNS: Final = 5
# Optuna advises against less, in seconds.
_LEAST_LOCK_S: Final = 3
# To open a new database whose tables another process is making.
_ATTEMPTS: Final = 25
_PAUSE_S: Final = 0.2

_log = logging.getLogger("hearth.experiments")


def storage(url: str, grace_s: int) -> BaseStorage:
    """Open a storage, and make it where it is not there yet.

    Args:
        url: ``journal:///file``, or a database as SQLAlchemy writes it: ``sqlite:///file``,
            ``postgresql+psycopg://user@host/name``.
        grace_s: Seconds without a sign of life after which a trial counts as lost.

    Raises:
        StorageError: It is no such URL, or nothing answers there.
    """
    try:
        place = make_url(url)
        _make_folder(place)
        if place.drivername == JOURNAL:
            return Journal(_file(place), grace_s)
        return _database(place, grace_s)
    except (ArgumentError, NoSuchModuleError) as error:
        raise StorageError(f"--storage {url}: {error}") from error
    except ImportError as error:  # Optuna's, in place of the driver's own
        raise StorageError(
            f"--storage {_shown(place)}: its driver is not installed: {error.__cause__ or error}"
        ) from error
    except OSError as error:
        raise StorageError(f"--storage {_shown(place)}: {error.strerror}") from error


@contextmanager
def unwarned() -> Iterator[None]:
    """Optuna calls the signs of life experimental, since 2021."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class _Silence:
    """Which trials have not changed their sign of life for a time, as measured here.

    No clock is compared with another machine's.

    Args:
        grace_s: The time.
    """

    def __init__(self, grace_s: int) -> None:
        self._grace_s = grace_s
        self._seen: dict[int, tuple[object, float]] = {}

    def lost(self, signs: Mapping[int, object]) -> list[int]:
        """Look at the latest sign of each running trial; gives those to give up."""
        now = time.monotonic()
        before = {it: self._seen.get(it, (sign, now)) for it, sign in signs.items()}
        self._seen = {
            it: before[it] if before[it][0] == sign else (sign, now) for it, sign in signs.items()
        }
        return [it for it, (_, since) in self._seen.items() if now - since > self._grace_s]


class Journal(JournalStorage, BaseHeartbeat):
    """Optuna's journal in a file, with signs of life as its databases have them.

    The file may lie on NFS: the lock beside it is a symbolic link, which only one process can
    make. The lock of a killed process is broken after as long as its trial is given up.

    Args:
        path: The file; made where it is missing.
        grace_s: Seconds without a sign of life after which a trial counts as lost.
    """

    def __init__(self, path: Path, grace_s: int) -> None:
        lock = JournalFileSymlinkLock(str(path), max(grace_s, _LEAST_LOCK_S))
        super().__init__(JournalFileBackend(str(path), lock))
        self._interval_s = _interval(grace_s)
        self._silence = _Silence(grace_s)

    def record_heartbeat(self, trial_id: int) -> None:
        """Give a trial's sign of life."""
        with suppress(UpdateFinishedTrialError):  # others have given it up
            self.set_trial_system_attr(trial_id, _SIGN, time.time())

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        return self._silence.lost(
            {it._trial_id: it.system_attrs.get(_SIGN) for it in _running(self, study_id)}  # noqa: SLF001 - as Optuna's own
        )

    def get_heartbeat_interval(self) -> int:
        """Seconds between two signs."""
        return self._interval_s

    def get_heartbeat_stale_trial_callback(
        self,
    ) -> Callable[[optuna.Study, FrozenTrial], None] | None:
        """Nothing is called: the store queues anew what failed."""
        return None


class _Patience:
    """Asks a database that has gone away again, for a time from its first silence on.

    Args:
        place: Where it is, to say so.
        grace_s: The time.
    """

    def __init__(self, place: URL, grace_s: int) -> None:
        self._place, self._grace_s = place, grace_s
        self._since_s: float | None = None  # on the monotonic clock
        self._asking = threading.local()

    def ask(self, question: Callable[[], Any]) -> Any:
        """The answer to a question; one that is part of another is asked again with it.

        Raises:
            StorageError: None came in the time.
        """
        if getattr(self._asking, "is_part", False):
            return question()
        self._asking.is_part = True
        try:
            while True:
                try:
                    answer = question()
                except (StorageInternalError, SQLAlchemyError) as error:
                    self._bear(error)
                else:
                    self._since_s = None
                    return answer
                time.sleep(_PAUSE_S)
        finally:
            self._asking.is_part = False

    def _bear(self, error: Exception) -> None:
        reason = _lost_connection(error)
        if reason is None:
            raise error
        now = time.monotonic()
        if self._since_s is None:
            self._since_s = now
            _log.warning("%s is away, and asked again for %d s", _shown(self._place), self._grace_s)
        if now - self._since_s > self._grace_s:
            raise StorageError(
                f"--storage {_shown(self._place)} has not answered for {self._grace_s} s "
                f"(--grace_s); what is done is kept, and the same command goes on: {reason.orig}"
            ) from error


def _lost_connection(error: BaseException | None) -> DBAPIError | None:
    """What SQLAlchemy said of a server that is away, behind what Optuna makes of it."""
    while error is not None and not isinstance(error, (OperationalError, InterfaceError)):
        error = error.__cause__ or error.__context__
    return error


def _asked_again(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def asked(self: Database, *arguments: Any, **named: Any) -> Any:
        return self._patience.ask(functools.partial(method, self, *arguments, **named))

    return asked


class Database(RDBStorage):
    """Optuna's database, which may go away for a time, with trials that never gave a sign of life.

    Args:
        place: Its URL.
        grace_s: Seconds without a sign of life after which a trial counts as lost, and without an
            answer after which the database does.
    """

    def __init__(self, place: URL, grace_s: int) -> None:
        self._patience = _Patience(place, grace_s)
        with unwarned():
            super().__init__(
                place.render_as_string(hide_password=False),
                engine_kwargs=_engine(place),
                heartbeat_interval=_interval(grace_s),
                grace_period=grace_s,
            )
        self._silence = _Silence(grace_s)

    def record_heartbeat(self, trial_id: int) -> None:
        """Give a trial's sign of life, if need be later; who computes it hears of an outage too."""
        with suppress(StorageError):
            self._patience.ask(functools.partial(super().record_heartbeat, trial_id))

    @_asked_again
    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        with self.engine.connect() as connection:
            known = set(connection.scalars(select(TrialHeartbeatModel.trial_id)))
        running = {it._trial_id for it in _running(self, study_id)}  # noqa: SLF001 - as Optuna's own
        lost = self._silence.lost(dict.fromkeys(running - known))
        return [*super()._get_stale_trial_ids(study_id), *lost]


# All else that Optuna asks of a database: what fails in it leaves nothing behind.
for _name, _method in vars(RDBStorage).items():
    if inspect.isfunction(_method) and not _name.startswith("__") and _name not in vars(Database):
        setattr(Database, _name, _asked_again(_method))


def _running(it: BaseStorage, study_id: int) -> list[FrozenTrial]:
    return it.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))


def _interval(grace_s: int) -> int:
    return max(1, grace_s // _SIGNS)


def _database(place: URL, grace_s: int) -> Database:
    for attempt in count(1):
        try:
            return _open(place, grace_s)
        # Where it is new, one process makes its tables; the others fail and try again.
        except (IntegrityError, OperationalError, ProgrammingError) as error:
            if attempt == _ATTEMPTS:
                raise StorageError(f"--storage {_shown(place)}: {error.orig}") from error
            time.sleep(_PAUSE_S)
    raise AssertionError("count() does not end")


def _open(place: URL, grace_s: int) -> Database:
    is_file = place.get_backend_name() == "sqlite"
    if is_file:
        _make_tables(_file(place))
    opened = Database(place, grace_s)
    if is_file:
        _take_turns(opened.engine)
    return opened


def _make_tables(file: Path) -> None:
    """Make a new database beside its place: a process that is killed at it leaves none."""
    if file.exists():
        return
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        RDBStorage(f"sqlite:///{beside}").engine.dispose()
        with suppress(FileExistsError):  # another process was faster
            file.hardlink_to(beside)
    finally:
        beside.unlink(missing_ok=True)


def _engine(place: URL) -> dict[str, Any]:
    # A trial takes seconds, a connection milliseconds: kept open, those of many workers would
    # be more than a server allows.
    return {} if place.get_backend_name() == "sqlite" else {"poolclass": NullPool}


def _make_folder(place: URL) -> None:
    if place.get_backend_name() in {"sqlite", JOURNAL} and place.database:
        _file(place).parent.mkdir(parents=True, exist_ok=True)


def _file(place: URL) -> Path:
    if not place.database:
        raise ArgumentError(f"names no file: {JOURNAL}:///studies.journal does")
    return Path(place.database)


def _shown(place: URL) -> str:
    return place.render_as_string(hide_password=True)


def _take_turns(engine: Engine) -> None:
    """Have SQLite lock for a whole transaction, so that only one process takes a trial.

    Its write-ahead log spares most waits for the disk.

    References:
        SQLAlchemy's page on pysqlite, "Serializable isolation / Savepoints / Transactional DDL".
    """
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", lambda it: it.exec_driver_sql("BEGIN IMMEDIATE"))
    engine.dispose()  # connections from before do not know


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are SQLAlchemy's business
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
