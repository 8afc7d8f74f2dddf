"""The request log as TensorFlow Serving's: a TFRecord of ``PredictionLog``, fit for warm-up.

References:
    tensorflow_serving/apis/prediction_log.proto and logging.proto.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from service.messages import prediction_log_pb2
from service.monitoring.request_log import without
from service.protocols import tensor_proto
from service.protocols.tfrecord import framed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.exchange import Computed
    from service.monitoring.request_log import Entry


class TFRecord:
    """Files of ``PredictionLog``; see ``service.monitoring.request_log.Form``.

    Args:
        left_out: Features that are not to be kept.
    """

    suffix = ".tfrecord"
    is_whole_at_any_time = True

    def __init__(self, left_out: Sequence[str] = ()) -> None:
        self._left_out = left_out

    def group(self, _entry: Entry) -> str:
        """All requests for a model may stand in one file."""
        return ""

    def create(self, descriptor: int, _entry: Entry) -> _Records:
        """Begin a file."""
        return _Records(descriptor, self._left_out)


class _Records:
    def __init__(self, descriptor: int, left_out: Sequence[str]) -> None:
        self._descriptor = descriptor
        self._left_out = left_out

    def write(self, entries: Sequence[Entry]) -> None:
        """Write records, in one go: a worker that dies leaves whole ones."""
        content = framed([encode(it, self._left_out) for it in entries])
        before = os.fstat(self._descriptor).st_size
        written = 0
        try:
            written = os.write(self._descriptor, content)
        finally:
            if written < len(content):
                os.ftruncate(self._descriptor, before)
        if written < len(content):
            raise OSError(f"only {written} of {len(content)} bytes could be written")

    def close(self) -> None:
        """Nothing is missing."""
        os.close(self._descriptor)


def encode(entry: Entry, left_out: Sequence[str] = ()) -> bytes:
    """A request and its answer as a serialised ``PredictionLog``.

    Args:
        entry: The request.
        left_out: Features whose values are not to be kept.
    """
    computed = entry.computed
    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.sampling_config.sampling_rate = entry.share
    log.log_metadata.timestamp_secs = int(entry.time_s)
    _name(log.log_metadata.model_spec, computed)
    # Without the version: another one is to be warmed by it too.
    request = log.predict_log.request
    request.model_spec.name = computed.version.model
    request.model_spec.signature_name = computed.signature
    for name, array in without(computed, left_out).items():
        tensor_proto.fill(request.inputs[name], array, as_content=True)
    response = log.predict_log.response
    _name(response.model_spec, computed)
    for name, array in computed.outputs.items():
        tensor_proto.fill(response.outputs[name], array, as_content=True)
    serialised: bytes = log.SerializeToString()
    return serialised


def _name(spec: Any, computed: Computed) -> None:
    spec.name = computed.version.model
    spec.version.value = computed.version.number
    spec.signature_name = computed.signature
