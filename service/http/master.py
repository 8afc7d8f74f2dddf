"""The master process: gunicorn's, which replaces workers without a gap and waits after crashes.

gunicorn's own ends the old workers while the new ones still load their models. Here a worker
that is to go (SIGHUP, or it has answered as many requests as it should) is told so only once
its successor listens, one after the other.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from service.errors import InvalidRequest
from service.settings import SettingsError

if TYPE_CHECKING:
    from service.crashes import Crashes
    from service.http.worker import Worker

# Seconds between looks while a worker is being replaced.
_LOOK_S: Final = 0.05
_GO: Final = frozenset({signal.SIGTERM, signal.SIGQUIT})


class Master(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's arbiter with an orderly change of workers.

    Args:
        app: gunicorn's application.
        crashes: Where crashes are counted.
    """

    def __init__(self, app: Any, crashes: Crashes) -> None:
        super().__init__(app)
        self._crashes = crashes
        self._old: set[int] = set()
        self._leaving: set[int] = set()

    def reload(self) -> None:
        """SIGHUP: read the settings again, and replace every worker; if they are wrong, go on."""
        try:
            self.app.reload()
        except (SettingsError, InvalidRequest, OSError) as error:
            self.log.error("nothing is reloaded: %s", error)  # noqa: TRY400 - a wrong flag or a full disk, no fault of ours
            return
        self.setup(self.app)
        self._old = set(self.WORKERS)
        self.cfg.on_reload(self)

    def handle_usr2(self) -> None:
        """SIGUSR2: nothing; gunicorn would begin itself once more, which this command cannot."""
        self.log.warning("SIGUSR2 is not heeded: SIGHUP replaces the workers")

    def manage_workers(self) -> None:
        """Take one step towards as many workers as there should be, none of them to be replaced."""
        self._old &= set(self.WORKERS)
        self._leaving &= set(self.WORKERS)
        staying = self._staying()
        if len(staying) < self.num_workers:
            self.spawn_workers()
        elif all(it.stage.is_up for it in staying if it.pid not in self._to_go()):
            if len(staying) > self.num_workers:
                self._end(min(staying, key=self._order))
            elif self._to_go():
                self._spawn(1)

    def spawn_workers(self) -> None:
        """Begin as many workers as are missing, unless those before have crashed just now."""
        self._spawn(self.num_workers - len(self._staying()))

    def spawn_worker(self) -> None:
        """Begin a worker; a signal that comes before it can take one waits until it can."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _GO)
        try:
            super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait for signals; not for long while a worker is being replaced."""
        busy = self._to_go() or len(self.WORKERS) != self.num_workers
        return super().wait_for_signals(_LOOK_S if busy else timeout)  # type: ignore[no-any-return]

    def kill_worker(self, pid: int, sig: signal.Signals) -> None:
        """Send a worker a signal; who is asked to go has not crashed."""
        if sig in _GO:
            self._leaving.add(pid)
        super().kill_worker(pid, sig)

    def reap_workers(self) -> None:
        """Take leave of workers that have ended; one that cannot begin ends no others."""
        before = dict(self.WORKERS)
        try:
            super().reap_workers()
        except HaltServer:
            if not any(it.stage.is_up for it in self.WORKERS.values()):
                raise
            self._old.clear()
            self.log.error("a new worker cannot begin: those that there are go on")  # noqa: TRY400 - the worker has told why
            self._forget_unfinished(before)
        ended = [it for pid, it in before.items() if pid not in self.WORKERS]
        for worker in ended:
            if not worker.stage.has_ended and worker.pid not in self._leaving:
                self._crashes.count()

    def _forget_unfinished(self, before: dict[int, Worker]) -> None:
        """What gunicorn does for one that has ended, which it leaves out if it gives up."""
        for pid in before.keys() - self.WORKERS.keys():
            worker = before[pid]
            if not worker.tmp._tmp.closed:  # noqa: SLF001 - it has no word for it
                worker.tmp.close()
                self.cfg.child_exit(self, worker)

    def _staying(self) -> list[Worker]:
        return [it for pid, it in self.WORKERS.items() if pid not in self._leaving]

    def _to_go(self) -> set[int]:
        """Workers that are to be replaced and do not know it yet."""
        worn = {it.pid for it in self._staying() if it.stage.is_worn}
        return (self._old | worn) - self._leaving

    def _order(self, worker: Worker) -> tuple[bool, int]:
        """Who goes first: those that are to be replaced, then the oldest."""
        return worker.pid not in self._to_go(), worker.age

    def _end(self, worker: Worker) -> None:
        self.kill_worker(worker.pid, signal.SIGTERM)

    def _spawn(self, count: int) -> None:
        for _ in range(count):
            if self._crashes.wait_s > 0:
                return
            self.spawn_worker()
