"""What was asked and answered, kept for a moment and handed on many at a time.

To note a request costs its answer well under a microsecond: it is put into a list. A few times a
second, and before anybody looks, the list goes to whoever observes. It is bounded; what finds it
full is not observed, and counted.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from service.exchange import Computed, Exchange

# Requests that wait to be observed at the most, and bytes of the arrays of each: 16 MiB in all.
_MOST: Final = 1024
_KEPT_BYTES: Final = 16 * 1024

_log: Final = logging.getLogger("hearth.observations")


class Observer(Protocol):
    """Who looks at what was asked and answered."""

    def observe(self, exchanges: Sequence[Exchange]) -> None:
        """Look at requests that were answered well; each has ``computed``.

        Called by one thread at a time, and on the event loop: what takes long goes elsewhere.
        """


class Observations:
    """The requests of one worker, on their way to its observers; any thread may call.

    Args:
        observers: Who looks at them; nobody looks where there are none.
        skipped: Told of a model, its version and how many of its rows nobody has looked at.
    """

    def __init__(
        self, observers: Iterable[Observer], skipped: Callable[[str, str, int], None]
    ) -> None:
        self._observers = tuple(observers)
        self._tell = skipped
        self._pending: deque[Exchange] = deque()
        self._skipped: deque[tuple[str, str, int]] = deque()
        self._handing_on = threading.Lock()

    def take(self, exchange: Exchange) -> None:
        """Keep a real case that has its answer, if a version computed something for it."""
        computed = exchange.computed
        if computed is None or exchange.outcome != "ok" or not self._observers:
            return
        if not exchange.observed:
            return
        if len(self._pending) >= _MOST:
            self._skip(exchange, exchange.rows)
            return
        if computed.is_small:
            self._pending.append(exchange)
            return
        size = 0
        for arrays in (computed.inputs, computed.outputs):
            for array in arrays.values():
                size += array.nbytes if array.dtype.kind != "O" else _text_bytes(array)
        if size > _KEPT_BYTES:
            exchange.computed = self._thinned(exchange, computed, size)
        self._pending.append(exchange)

    def hand_on(self) -> None:
        """Let the observers look at what has been kept."""
        with self._handing_on:
            kept = [self._pending.popleft() for _ in range(len(self._pending))]
            kept = [it for it in kept if it.computed is not None]
            for observer in self._observers if kept else ():
                try:
                    observer.observe(kept)
                except Exception:  # noqa: BLE001 - a worker answers on, whatever becomes of this
                    _log.exception("%d requests could not be observed", len(kept))
            skipped: Counter[tuple[str, str]] = Counter()
            for _ in range(len(self._skipped)):
                model, version, rows = self._skipped.popleft()
                skipped[model, version] += rows
            for (model, version), rows in skipped.items():
                self._tell(model, version, rows)

    def _skip(self, exchange: Exchange, rows: int) -> None:
        # Together many at a time: a lock and a sum would cost more than the list.
        self._skipped.append((exchange.model, exchange.version, rows))

    def _thinned(self, exchange: Exchange, computed: Computed, size: int) -> Computed | None:
        """As many rows of a large request as may be kept, evenly spread; None if not one."""
        arrays = [*computed.inputs.values(), *computed.outputs.values()]
        lengths = {len(it) if it.ndim else 0 for it in arrays}
        rows = lengths.pop()
        kept = _KEPT_BYTES * rows // size
        if lengths or kept == 0:
            self._skip(exchange, exchange.rows)
            return None
        self._skip(exchange, rows - kept)
        places = np.linspace(0, rows - 1, kept).astype(np.intp)
        return msgspec.structs.replace(
            computed,
            inputs={name: it[places] for name, it in computed.inputs.items()},
            outputs={name: it[places] for name, it in computed.outputs.items()},
        )


def _text_bytes(array: NDArray[Any]) -> int:
    return sum(len(it) for it in array.ravel().tolist())
