"""What every protocol that servers behind are asked by can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from service.inference.executor import Tensors
    from service.inference.signature import Signature

    Outputs = dict[str, NDArray[Any]]

# Seconds in which a server has to say which versions it serves.
LOOK_S: Final = 1.0
# Seconds of a call that nobody set a deadline for: those of a load.
DEFAULT_S: Final = 30.0


class Wire(Protocol):
    """Asks the servers of one channel; what they refuse is a ``grpc.RpcError``."""

    def versions(self, model: str) -> Callable[[], set[int]]:
        """Ask which versions of a model are served.

        Returns:
            Waits for the answer, and gives it.
        """

    def signatures(self, model: str, number: int) -> Mapping[str, Signature]:
        """What a version takes and gives: the signatures that can be called."""

    def most_rows(self, model: str, number: int) -> int:
        """Rows that one call to a version may have; 0 where nobody says."""

    def predict(
        self, model: str, number: int, signature: str, inputs: Tensors, timeout_s: float
    ) -> Any:
        """Begin to compute a signature's outputs.

        Args:
            model: The model's name.
            number: The version's number.
            signature: One of its signatures.
            inputs: An array for every input.
            timeout_s: Seconds that it may take.

        Returns:
            gRPC's own future.
        """

    def outputs(self, response: Any, wanted: Iterable[str]) -> Outputs:
        """The outputs that a response holds, of those wanted.

        Raises:
            InvalidRequest: One of them makes no sense.
        """
