"""Ctrl-C and SIGTERM end a run wherever they come.

Python calls a signal's handler between two instructions. Where those are a destructor's or a
weak reference's callback, what the handler raises is dropped, and the run would go on.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_AGAIN_S: Final = 0.05
_RAISED_BY: Final = MappingProxyType({KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM})


def insist() -> None:
    """Send this process a signal once more when what its handler raised was dropped."""
    sys.unraisablehook = _send_again


def _send_again(dropped: UnraisableHookArgs) -> None:
    number = _RAISED_BY.get(dropped.exc_type)
    if number is None:
        sys.__unraisablehook__(dropped)
        return
    main = threading.main_thread().ident
    again = threading.Timer(_AGAIN_S, signal.pthread_kill, [main, number])
    again.daemon = True
    again.start()
