"""The remote executor: a version whose network runs in another server."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

from service.inference.futures import Timed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    """

    name = REMOTE
    quick = False
    joins = True

    def __init__(
        self, fleet: Fleet, model: str, number: int, signatures: Mapping[str, Signature]
    ) -> None:
        self.signatures = signatures
        self._fleet = fleet
        self._model = model
        self._number = number

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
