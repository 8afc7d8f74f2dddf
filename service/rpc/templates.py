"""The short way of Predict calls like ones before: the same bytes but for the numbers.

Of a message of one small batch the numbers are the last bytes, and what stands before them, the
head, says how many they are. Whoever sends the same head sends the same request with other
numbers, so that neither it nor its answer needs to be read or written as a message again.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from google.protobuf.message import DecodeError

from service.messages import predict_pb2
from service.protocols import tensor_proto
from service.protocols import tensorflow_serving_grpc as wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from service.repository.version import ModelVersion

# Heads kept, and the sizes of heads tried for one size of message; past these all are forgotten.
_HEADS: Final = 1024
_SIZES: Final = 4
# Bytes of a message up to which it is worth a try: a few rows.
_MESSAGE_BYTES: Final = 2048
_FLOAT: Final = np.dtype("<f4")


class Template:
    """Predict requests that differ in their numbers alone, and their answers.

    Args:
        request: One of them.
        shape: Rows and columns of its batch.
        as_content: Answers carry numbers as ``tensor_content``.

    Attributes:
        asked: Model, version and label that they name.
        signature: The signature.
        input: Name of the input.
    """

    def __init__(
        self, request: predict_pb2.PredictRequest, shape: tuple[int, ...], *, as_content: bool
    ) -> None:
        self.asked = wire.read_spec(request.model_spec)
        self.signature = wire.signature_name(request.model_spec)
        (self.input,) = request.inputs
        self._shape = shape
        self._numbers_bytes = int(np.prod(shape)) * _FLOAT.itemsize
        self._as_content = as_content
        self._answered: weakref.ref[ModelVersion] | None = None
        self._form = ((0,), b"", b"")

    def batch(self, message: bytes) -> NDArray[Any]:
        """The numbers of a message, float32 ``[n, k]``."""
        return np.frombuffer(message[-self._numbers_bytes :], _FLOAT).reshape(self._shape)

    def answer(self, version: ModelVersion, outputs: NDArray[Any]) -> bytes | None:
        """The response message of an output.

        Args:
            version: The version that gave it.
            outputs: The signature's one output.

        Returns:
            The serialised message; None where the output is not of single precision.
        """
        if outputs.dtype != _FLOAT:
            return None
        shape, head, tail = self._form
        if self._answered is None or self._answered() is not version or outputs.shape != shape:
            head, tail = self._formed(version, outputs)
        return b"%b%b%b" % (head, outputs.tobytes(), tail)

    def _formed(self, version: ModelVersion, outputs: NDArray[Any]) -> tuple[bytes, bytes]:
        """What stands before and behind the numbers of an answer."""
        (output,) = version.executor.signatures[self.signature].outputs
        first, second = _marks(outputs.shape)
        response = self._write(version, output, first)
        head, _, tail = response.partition(first.tobytes())
        if self._write(version, output, second) != head + second.tobytes() + tail:
            raise ValueError("an answer does not hold its numbers in one piece")
        self._form = (outputs.shape, head, tail)
        self._answered = weakref.ref(version)
        return head, tail

    def _write(self, version: ModelVersion, output: str, array: NDArray[Any]) -> bytes:
        response = wire.predict_response(
            version, self.signature, {output: array}, (), as_content=self._as_content
        )
        serialised: bytes = response.SerializeToString()
        return serialised


class Templates:
    """The templates known to one server; for one thread.

    Args:
        as_content: Answers carry numbers as ``tensor_content``.
    """

    def __init__(self, *, as_content: bool) -> None:
        self._as_content = as_content
        self._by_head: dict[bytes, Template] = {}
        self._head_sizes: dict[int, list[int]] = {}

    def find(self, message: bytes) -> Template | None:
        """The template of a message, if one like it was learnt."""
        for size in self._head_sizes.get(len(message), ()):
            found = self._by_head.get(message[:size])
            if found is not None:
                return found
        return None

    def learn(self, message: bytes, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Remember the form of a message, if it is one of a few numbers in its last bytes.

        Args:
            message: A Predict request.
            inputs: What was read from it.
        """
        if len(message) > _MESSAGE_BYTES or len(inputs) != 1:
            return
        ((name, batch),) = inputs.items()
        if batch.dtype != _FLOAT or batch.ndim != 2 or not batch.size:
            return
        numbers = batch.tobytes()
        if not message.endswith(numbers):
            return
        head = message[: -len(numbers)]
        if _differ_in_numbers_alone(message, head, name, batch.shape):
            request = predict_pb2.PredictRequest.FromString(message)
            template = Template(request, batch.shape, as_content=self._as_content)
            self._keep(len(message), head, template)

    def _keep(self, size: int, head: bytes, template: Template) -> None:
        tried = self._head_sizes.get(size, [])
        if len(self._by_head) >= _HEADS or len(tried) >= _SIZES:
            self._by_head.clear()
            self._head_sizes.clear()
        self._by_head[head] = template
        sizes: list[int] = self._head_sizes.setdefault(size, [])
        if len(head) not in sizes:
            sizes.append(len(head))


def _differ_in_numbers_alone(message: bytes, head: bytes, name: str, shape: Sequence[int]) -> bool:
    """Whether other numbers behind the same head make the same request with those numbers."""
    request = predict_pb2.PredictRequest.FromString(message)
    if request.output_filter:
        return False
    request.inputs.clear()
    for numbers in _marks(shape):
        try:
            other = predict_pb2.PredictRequest.FromString(head + numbers.tobytes())
        except DecodeError:
            return False
        read = tensor_proto.decode(other.inputs[name], name, numbers.nbytes)
        if not np.array_equal(read, numbers):
            return False
        other.inputs.clear()
        if other != request:
            return False
    return True


def _marks(shape: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two arrays that no message holds by chance."""
    numbers = np.arange(1, np.prod(shape) + 1, dtype=_FLOAT).reshape(shape)
    return numbers * np.float32(1.2345678e17), numbers * np.float32(-7.6543217e-23)
