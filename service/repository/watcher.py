"""The thread that keeps a worker's models as they are wanted."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from service.errors import InvalidRequest
from service.repository.agreement import Served
from service.repository.config import parse_change

if TYPE_CHECKING:
    from pathlib import Path

    from service.repository.agreement import Agreement
    from service.repository.repository import Repository

_log: Final = logging.getLogger("hearth.repository")

# Seconds between looks at the agreement: a reload waits for the slowest worker.
_AGREEMENT_POLL_S: Final = 0.1
# Seconds after which the same problem is told of again.
_TELL_AGAIN_S: Final = 60.0


class ConfigFile:
    """A model config file that may change while it is served.

    Args:
        path: The file.
        interval_s: Seconds between looks at it; 0 or less for never again.
    """

    def __init__(self, path: Path, interval_s: float) -> None:
        self._path = path
        self._interval_s = interval_s
        self._next_s = 0.0
        self._text: str | None = None

    def follow(self, agreement: Agreement) -> None:
        """If it has changed, ask for what it says; a bad file is logged and the old one kept."""
        now_s = time.monotonic()
        if self._interval_s <= 0 or now_s < self._next_s:
            return
        self._next_s = now_s + self._interval_s
        try:
            text = self._path.read_text()
            if text != self._text:
                self._text = text
                agreement.follow(parse_change(text))
        except (OSError, UnicodeDecodeError, InvalidRequest) as error:
            _log.error("%s is not followed: %s", self._path, error)
            if isinstance(error, OSError):
                self._text = None  # it may be no fault of the file's


class Watcher:
    """Follows the agreement and the folders.

    Args:
        repository: The worker's models.
        agreement: What all workers agree on.
        config_file: The config file to watch, if there is one.
        interval_s: Seconds between looks at the models' folders; 0 or less looks once.
    """

    def __init__(
        self,
        repository: Repository,
        agreement: Agreement,
        config_file: ConfigFile | None,
        interval_s: float,
    ) -> None:
        self._repository = repository
        self._agreement = agreement
        self._config_file = config_file
        self._interval_s = interval_s
        self._serial = ""
        self._next_poll_s = 0.0
        self._stopped = threading.Event()

    def start(self) -> None:
        """Load what is wanted, then keep watching; returns when the first look is over."""
        self.look()
        threading.Thread(target=self._watch, name="repository", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def look(self) -> None:
        """Follow whatever has changed, and publish what is served."""
        if self._config_file is not None:
            self._config_file.follow(self._agreement)
        serial, configs = self._agreement.wanted()
        changed = serial != self._serial
        if changed:
            self._repository.configure(configs)
        due = self._is_due()  # a first look is one too: the next is a whole interval later
        if changed or due:
            self._repository.poll()
            self._serial = serial
            self._agreement.publish(
                Served(serial, self._repository.served(), self._repository.problems())
            )

    def _is_due(self) -> bool:
        now_s = time.monotonic()
        if self._interval_s <= 0 or now_s < self._next_poll_s:
            return False
        self._next_poll_s = now_s + self._interval_s
        return True

    def _watch(self) -> None:
        told, again_s = "", 0.0
        while not self._stopped.wait(_AGREEMENT_POLL_S):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - logged with its trace
                # The thread must go on: without it no version would ever be swapped again.
                now_s = time.monotonic()
                if repr(error) != told or now_s > again_s:  # not ten times a second
                    _log.exception("the models could not be looked at")
                    told, again_s = repr(error), now_s + _TELL_AGAIN_S
