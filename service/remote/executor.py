"""The remote executor: a version whose network runs in another server."""

from __future__ import annotations

import math
import time
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.inference.futures import Timed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from service.inference.executor import Executor, Tensors
    from service.inference.signature import Signature
    from service.remote.fleet import Fleet

    Outputs = dict[str, NDArray[Any]]

REMOTE: Final = "remote"


class Remote:
    """Runs the signatures of a version in the servers of a fleet; nobody waits in a thread.

    Args:
        fleet: The servers.
        model: The model's name, there as here.
        number: The version's number.
        signatures: What they say it takes and gives.
        most_rows: Rows that one call may have; 0 for any number.
    """

    name = REMOTE
    quick = False
    joins = True

    def __init__(
        self,
        fleet: Fleet,
        model: str,
        number: int,
        signatures: Mapping[str, Signature],
        most_rows: int = 0,
    ) -> None:
        self.signatures = signatures
        self._fleet = fleet
        self._model = model
        self._number = number
        self._most_rows = most_rows

    @property
    def joined(self) -> list[str]:
        """None: each call is sent by itself."""
        return []

    @property
    def apart(self) -> Executor:
        """Itself."""
        return self

    def run(self, signature: str, inputs: Tensors) -> Outputs:
        """Compute a signature's outputs; see ``Executor.run``."""
        return self.submit(signature, inputs).result()

    def submit(
        self, signature: str, inputs: Tensors, deadline_s: float = math.inf
    ) -> Timed[Outputs]:
        """Have a signature's outputs computed; see ``JoiningExecutor.submit``.

        Raises:
            NotReady: The servers cannot be reached, and are not asked for a while.
            DeadlineExceeded: There is no time left.
        """
        rows = _rows(inputs) if self._most_rows else 0
        if rows <= self._most_rows:
            return self._send(signature, inputs, deadline_s)
        pieces = (
            {name: it[start : start + self._most_rows] for name, it in inputs.items()}
            for start in range(0, rows, self._most_rows)
        )
        return _Pieces(pieces, lambda piece: self._send(signature, piece, deadline_s))

    def _send(self, signature: str, inputs: Tensors, deadline_s: float) -> _Answer:
        call = self._fleet.predict(self._model, self._number, signature, inputs, deadline_s)
        answer = _Answer(call.cancel)
        call.add_done_callback(
            lambda done: answer.arrived(
                lambda: self._fleet.outputs(done, self.signatures[signature].outputs)
            )
        )
        return answer


class _Answer(Timed["Outputs"]):
    """The outputs to be; given up, the call is too.

    Args:
        give_up: Ends the call.
    """

    def __init__(self, give_up: Callable[[], object]) -> None:
        super().__init__()
        self.began_s = time.perf_counter()
        self._give_up = give_up

    def set_running_or_notify_cancel(self) -> bool:
        """It has run since it was sent; whether anybody waits."""
        began_s = self.began_s
        wanted = super().set_running_or_notify_cancel()
        self.began_s = began_s
        return wanted

    def arrived(self, read: Callable[[], Outputs]) -> None:
        """The call has ended: take what came of it."""
        self.settle(read)

    def cancel(self) -> bool:
        """Give it up, unless it is there; whether it is given up."""
        if not super().cancel():
            return False
        self._give_up()
        return True


class _Pieces(_Answer):
    """The outputs of rows that are too many for a call, asked for piece by piece.

    Args:
        pieces: The inputs, cut; at least one.
        ask: Has one computed.
    """

    def __init__(self, pieces: Iterator[Tensors], ask: Callable[[Tensors], _Answer]) -> None:
        super().__init__(self._stop)
        self._pieces = pieces
        self._ask = ask
        self._answered: list[Outputs] = []
        self._asked = ask(next(pieces))
        self._asked.add_done_callback(self._one)

    def _one(self, done: Future[Outputs]) -> None:
        """A piece is there: ask for the next, or give all."""
        try:
            self._answered.append(done.result())
            piece = next(self._pieces, None)
            if piece is not None and not self.cancelled():
                self._asked = self._ask(piece)
                self._asked.add_done_callback(self._one)
                return
        except (Exception, CancelledError) as error:  # noqa: BLE001 - handed to who waits
            self.arrived(partial(_fail, error))
            return
        self.arrived(self._whole)

    def _whole(self) -> Outputs:
        return {
            name: np.concatenate([it[name] for it in self._answered]) for name in self._answered[0]
        }

    def _stop(self) -> None:
        self._asked.cancel()


def _rows(inputs: Tensors) -> int:
    """How many rows all inputs have; 0 where they do not agree."""
    counts = {len(it) if it.ndim else 0 for it in inputs.values()}
    return counts.pop() if len(counts) == 1 else 0


def _fail(error: BaseException) -> Outputs:
    raise error
