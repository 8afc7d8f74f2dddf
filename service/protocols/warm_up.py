"""Warm-up files: the requests that a model version brings along, to be run before any other.

References:
    tensorflow_serving/servables/tensorflow/saved_model_warmup_util.cc.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from service.errors import HearthError, NotSupported, VersionRefused
from service.messages import prediction_log_pb2
from service.protocols import tensor_proto
from service.protocols.examples import from_input
from service.protocols.tensorflow_serving_grpc import CLASSIFY_METHOD, check_method, signature_name
from service.protocols.tfrecord import read_records
from service.repository.warming import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from service.inference.signature import Signature

_MAX_RECORDS: Final = 1000
_LIMIT_BYTES: Final = 2**31  # of one tensor: as much as a message may have


def read_warm_up(
    path: Path, signatures: Mapping[str, Signature] = MappingProxyType({})
) -> list[Record]:
    """Read a warm-up file: a TFRecord of ``PredictionLog``.

    Args:
        path: The file; it need not be there.
        signatures: The model's, whose defaults stand for inputs that a request leaves out.

    Returns:
        The requests in their order.

    Raises:
        VersionRefused: It is broken, has over 1000 records, or one that cannot be run.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise VersionRefused(f"{path.name} cannot be read: {error.strerror}") from error
    found: list[Record] = []
    try:
        for number, record in enumerate(read_records(content)):
            if number >= _MAX_RECORDS:
                raise VersionRefused(f"{path.name} has over {_MAX_RECORDS} records")
            found.extend(_requests(record, f"{path.name}: record {number}", signatures))
    except ValueError as error:
        raise VersionRefused(f"{path.name}: {error}") from error
    return found


def _requests(record: bytes, place: str, signatures: Mapping[str, Signature]) -> list[Record]:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
        return list(_of_log(log, place, signatures))
    except DecodeError as error:
        raise VersionRefused(f"{place} is no PredictionLog: {error}") from error
    except HearthError as error:
        raise VersionRefused(f"{place}: {error.message}") from error


def _of_log(log: Any, place: str, signatures: Mapping[str, Signature]) -> Iterator[Record]:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        yield _predict(log.predict_log.request, place, signatures)
    elif kind in {"classify_log", "regress_log"}:
        request = getattr(log, kind).request
        method = kind.removesuffix("_log")
        name = signature_name(request.model_spec)
        yield Record(place, method, name, examples=from_input(request.input))
    elif kind == "multi_inference_log":
        yield from _multi_inference(log.multi_inference_log.request, place)
    else:
        raise NotSupported(f"a {kind or 'log of no type'} cannot be run")


def _predict(request: Any, place: str, signatures: Mapping[str, Signature]) -> Record:
    signature = signature_name(request.model_spec)
    defaults = signatures[signature].defaults if signature in signatures else {}
    inputs = {
        name: tensor_proto.decode(tensor, name, _LIMIT_BYTES)
        for name, tensor in {**defaults, **request.inputs}.items()
    }
    return Record(place, "predict", signature, inputs=inputs)


def _multi_inference(request: Any, place: str) -> Iterator[Record]:
    examples = from_input(request.input)
    for task in request.tasks:
        check_method(task.method_name)
        method = "classify" if task.method_name == CLASSIFY_METHOD else "regress"
        yield Record(place, method, signature_name(task.model_spec), examples=examples)
