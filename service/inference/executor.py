"""What runs a model: the one interface of all executors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from service.inference.signature import Signature

    Tensors = Mapping[str, NDArray[Any]]

AUTO: Final = "auto"
LITERT: Final = "litert"
TENSORFLOW: Final = "tensorflow"
EXECUTORS: Final = (AUTO, LITERT, TENSORFLOW)


class Executor(Protocol):
    """Runs the signatures of one model version; safe to call from several threads.

    Attributes:
        name: ``litert``, ``tensorflow`` or ``remote``.
        signatures: What it can run, by name.
        quick: A small batch costs microseconds, so an event loop may run it in place.
        joins: It joins requests that wait: a ``JoiningExecutor``.
    """

    name: str
    signatures: Mapping[str, Signature]
    quick: bool
    joins: bool

    def run(self, signature: str, inputs: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        """Compute a signature's outputs.

        Args:
            signature: One of ``signatures``.
            inputs: An array of the right type for every input of the signature.

        Returns:
            An array for every output of the signature.

        Raises:
            InvalidRequest: The model cannot take arrays of these shapes.
        """


class JoiningExecutor(Executor, Protocol):
    """An executor that answers who waits for it in no thread.

    Attributes:
        joined: Names of the signatures whose requests it joins.
        apart: The executor that it joins for: for calls that are to be joined with none.
    """

    @property
    def joined(self) -> list[str]: ...  # noqa: D102 - above

    @property
    def apart(self) -> Executor: ...  # noqa: D102 - above

    def submit(
        self, signature: str, inputs: Tensors, deadline_s: float = math.inf
    ) -> Future[dict[str, np.ndarray[Any, Any]]]:
        """Have a signature's outputs computed; see ``run``.

        Args:
            signature: One of ``signatures``.
            inputs: An array for every input of the signature.
            deadline_s: When nobody waits for them any more, on the clock of
                ``time.perf_counter``.

        Returns:
            The outputs to be, or what ``run`` raises. Cancelled before its turn comes, it is
            not run.

        Raises:
            InvalidRequest: There are more rows than may be asked for at once.
            Overloaded: As much waits as may wait.
        """


class QuickExecutor(Executor, Protocol):
    """An executor that an event loop may run in place."""

    def only(self, signature: str) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
        """A quicker way to run a signature of one input and one output, if there is one.

        Args:
            signature: One of ``signatures``.

        Returns:
            From the input's array to the output's, which raises what ``run`` raises.
        """
