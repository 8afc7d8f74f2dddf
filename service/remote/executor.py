"""The remote executor: a version whose network runs in another server, asked by Predict."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

from service.errors import HearthError, InternalError
from service.inference.futures import Timed
from service.messages import predict_pb2
from service.protocols import tensor_proto

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from service.inference.executor import Executor, Tensors
    from service.inference.signature import Signature
    from service.remote.fleet import Fleet

    Outputs = dict[str, NDArray[Any]]

REMOTE: Final = "remote"
# Bytes of one output: as much as one message may hold.
_LIMIT_BYTES: Final = 2**31


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
        request = predict_pb2.PredictRequest()
        spec = request.model_spec
        spec.name, spec.version.value, spec.signature_name = self._model, self._number, signature
        for name, array in inputs.items():
            tensor_proto.fill(request.inputs[name], array, as_content=True)
        call = self._fleet.predict(request, deadline_s)
        answer = _Answer(call.cancel)
        call.add_done_callback(
            lambda done: answer.arrived(lambda: self._read(signature, self._fleet.response(done)))
        )
        return answer

    def _read(self, signature: str, response: predict_pb2.PredictResponse) -> Outputs:
        sent = response.outputs
        missing = self.signatures[signature].outputs.keys() - sent.keys()
        if missing:
            raise InternalError(f"{self._fleet} left out the outputs {sorted(missing)}")
        try:
            return {
                name: tensor_proto.decode(sent[name], name, _LIMIT_BYTES)
                for name in self.signatures[signature].outputs
            }
        except HearthError as error:
            raise InternalError(f"{self._fleet} answered what makes no sense") from error


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
