"""Keeps LiteRT's remark on how it computes off the terminal; it has no log level."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_STDERR: Final = 2
_KNOWN: Final = b"INFO: Created TensorFlow Lite"


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Hold back what native code writes to standard error, and pass on all but that remark."""
    with tempfile.TemporaryFile() as held:
        terminal = os.dup(_STDERR)
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(terminal, _STDERR)
            os.close(terminal)
            held.seek(0)
            for line in held:
                if not line.startswith(_KNOWN):
                    os.write(_STDERR, line)
