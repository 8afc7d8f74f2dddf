"""A stream for a log's lines: one that cannot be written costs its lines, and no request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

_log: Final = logging.getLogger("hearth.log")


class LogStream:
    """Writes lines at once, as long as that can be done.

    Args:
        name: What is written, for messages.
        stream: Where to.
    """

    def __init__(self, name: str, stream: TextIO) -> None:
        self._name = name
        self._stream = stream
        self._fails = False

    def write(self, line: str) -> None:
        """Write a line; it is lost if the disk is full or the reader has gone."""
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            if not self._fails:
                _log.error("%s cannot be written: %s", self._name, error.strerror)
            self._fails = True
        else:
            self._fails = False
