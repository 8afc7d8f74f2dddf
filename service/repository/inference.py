"""A run of a model version that an answer waits for, whatever protocol the answer is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from service.inference.executor import Tensors
    from service.repository.version import ModelVersion

Answer = TypeVar("Answer")


class Inference(msgspec.Struct, Generic[Answer], frozen=True):
    """A request for inference that is read, checked, and not yet computed.

    Attributes:
        version: The version that runs.
        signature: The signature.
        inputs: An array for every input of the signature; or serialised ``tf.Example``
            messages, for a signature that takes those.
        encode: From the outputs to the answer.
    """

    version: ModelVersion
    signature: str
    inputs: dict[str, NDArray[Any]] | list[bytes]
    encode: Callable[[Tensors], Answer]

    def run(self) -> Tensors:
        """Run it in this thread; see ``ModelVersion.predict``."""
        if isinstance(self.inputs, dict):
            return self.version.predict(self.signature, self.inputs)
        return self.version.run_examples(self.signature, self.inputs)

    def submit(self) -> Future[dict[str, NDArray[Any]]]:
        """Let it be joined with others that wait; see ``ModelVersion.submit``."""
        if isinstance(self.inputs, dict):
            return self.version.submit(self.signature, self.inputs)
        return self.version.submit_examples(self.signature, self.inputs)
