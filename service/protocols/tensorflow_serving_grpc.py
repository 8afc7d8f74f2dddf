"""TensorFlow Serving's gRPC messages: requests to arrays, arrays to answers, errors to codes.

References:
    tensorflow_serving/servables/tensorflow/{predict_util,classifier,regressor,
    multi_inference,get_model_metadata_impl}.cc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grpc import StatusCode

from service import errors
from service.errors import InvalidRequest, SignatureNotFound
from service.inference.signature import DEFAULT_SIGNATURE
from service.messages import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    meta_graph_pb2,
    predict_pb2,
    regression_pb2,
)
from service.protocols import tensor_proto
from service.protocols.examples import classification_arrays, regression_values, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from service.inference.executor import Tensors
    from service.inference.signature import Signature, TensorSpec
    from service.messages import model_pb2
    from service.repository.version import ModelVersion, VersionStatus

# Each class of error and its code; a subclass without a row has its parent's.
CODE_OF: Final[Mapping[type[errors.HearthError], StatusCode]] = {
    errors.InvalidRequest: StatusCode.INVALID_ARGUMENT,
    errors.PayloadTooLarge: StatusCode.RESOURCE_EXHAUSTED,
    errors.RequestTimeout: StatusCode.DEADLINE_EXCEEDED,
    errors.SignatureNotFound: StatusCode.FAILED_PRECONDITION,
    errors.NotSupported: StatusCode.UNIMPLEMENTED,
    errors.NotPossibleNow: StatusCode.FAILED_PRECONDITION,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.Forbidden: StatusCode.PERMISSION_DENIED,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.NotReady: StatusCode.UNAVAILABLE,
    errors.Overloaded: StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.InternalError: StatusCode.INTERNAL,
    errors.VersionRefused: StatusCode.UNAVAILABLE,
}
_MAX_MESSAGE: Final = 1024
CLASSIFY_METHOD: Final = "tensorflow/serving/classify"
REGRESS_METHOD: Final = "tensorflow/serving/regress"
_METADATA_FIELD: Final = "signature_def"


def code_of(error: type[errors.HearthError]) -> StatusCode:
    """The code of a class of errors."""
    return next(CODE_OF[kind] for kind in error.__mro__ if kind in CODE_OF)


def encode_error(error: errors.HearthError) -> tuple[StatusCode, str]:
    """The gRPC code and message of an error.

    A long message is cut as TensorFlow Serving does, by its bytes: it travels in a header,
    three characters for a byte that is not ASCII, and clients take 8 KiB of headers.
    """
    code = code_of(type(error))
    message = error.message
    if isinstance(error, SignatureNotFound):
        message = f'Serving signature key "{error.name}" not found.'
    sent = message.encode(errors="replace")
    if len(sent) > _MAX_MESSAGE:
        sent = sent[:_MAX_MESSAGE] + b"...TRUNCATED"
    return code, sent.decode(errors="ignore")


def read_spec(spec: model_pb2.ModelSpec) -> tuple[str, int | None, str | None]:
    """Model, version and label that a request names.

    Raises:
        InvalidRequest: It names no model.
    """
    if not spec.name:
        raise InvalidRequest("ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    label = spec.version_label if choice == "version_label" else None
    return spec.name, version, label


def signature_name(spec: model_pb2.ModelSpec) -> str:
    """The signature that a request names, or the default one."""
    return spec.signature_name or DEFAULT_SIGNATURE


def example_signature(version: ModelVersion, spec: model_pb2.ModelSpec, method: str) -> str:
    """The signature that answers a Classify or Regress request.

    Args:
        version: The version that answers.
        spec: What the request names.
        method: ``classify`` or ``regress``.

    Raises:
        InvalidRequest: There is none, or it takes no examples. Unlike Predict's, this is
            no matter of the model's state to TensorFlow Serving.
    """
    try:
        return version.example_signature(signature_name(spec), method)
    except SignatureNotFound as error:
        raise InvalidRequest(f"No signature was found with the name: {error.name}") from error


def to_inputs(
    request: predict_pb2.PredictRequest,
    signature: Signature,
    defaults: Mapping[str, Any],
    limit_bytes: int,
) -> dict[str, NDArray[Any]]:
    """Turn a Predict request into the arrays that a signature takes.

    Args:
        request: The request.
        signature: The signature that it names.
        defaults: Tensors that stand for inputs that the request leaves out.
        limit_bytes: The most that one input may take in memory.

    Raises:
        InvalidRequest: The inputs are not those of the signature, or of another type.
    """
    sent: Mapping[str, Any] = request.inputs
    expected = signature.inputs
    # A look into a map of messages would add what it does not find.
    if len(sent) != len(expected) or any(name not in sent for name in expected):
        sent = _completed(sent, signature, defaults)
    return {name: _typed(sent[name], name, spec, limit_bytes) for name, spec in expected.items()}


def check_filter(wanted: Sequence[str], signature: Signature) -> None:
    """Make sure that the outputs asked for are there.

    Raises:
        InvalidRequest: One is not, or is named twice.
    """
    for index, name in enumerate(wanted):
        if name not in signature.outputs:
            raise InvalidRequest(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {{{','.join(signature.outputs)}}}."
            )
        if name in wanted[:index]:
            raise InvalidRequest(f"duplicate output tensor alias: {name}")


def predict_response(
    version: ModelVersion,
    signature: str,
    outputs: Tensors,
    wanted: Sequence[str],
    *,
    as_content: bool,
) -> predict_pb2.PredictResponse:
    """Write a Predict answer.

    Args:
        version: The version that answered.
        signature: The signature's name.
        outputs: An array for every output.
        wanted: Names of the outputs to send; all if empty.
        as_content: Numbers go into ``tensor_content`` instead of typed fields.
    """
    response = predict_pb2.PredictResponse()
    fill_spec(response.model_spec, version, signature)
    for name in wanted or outputs:
        tensor_proto.fill(response.outputs[name], outputs[name], as_content=as_content)
    return response


def fill_spec(spec: model_pb2.ModelSpec, version: ModelVersion, signature: str) -> None:
    """Say who answered."""
    spec.name = version.model
    spec.signature_name = signature
    spec.version.value = version.number


def fill_classification(
    result: classification_pb2.ClassificationResult, outputs: Tensors, count: int
) -> None:
    """Write what a classify signature gave.

    Args:
        result: Where to.
        outputs: ``classes`` (strings) or ``scores`` (numbers) or both, ``[count, classes]``.
        count: Number of examples.

    Raises:
        InvalidRequest: The outputs are not those of a classifier.
    """
    classes, scores = classification_arrays(outputs, count)
    for row in range(count):
        entry = result.classifications.add()
        for column in range((classes if classes is not None else scores).shape[1]):  # type: ignore[union-attr]
            item = entry.classes.add()
            if classes is not None:
                item.label = text_of(classes[row, column])
            if scores is not None:
                item.score = float(scores[row, column])


def fill_regression(result: regression_pb2.RegressionResult, outputs: Tensors, count: int) -> None:
    """Write what a regress signature gave.

    Args:
        result: Where to.
        outputs: ``outputs``, ``[count]`` or ``[count, 1]``.
        count: Number of examples.
    """
    for value in regression_values(outputs, count).tolist():
        result.regressions.add(value=value)


def status_response(
    statuses: Iterable[VersionStatus],
) -> get_model_status_pb2.GetModelStatusResponse:
    """Write the answer to GetModelStatus."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in statuses:
        entry = response.model_version_status.add(version=status.version)
        entry.state = get_model_status_pb2.ModelVersionStatus.State.Value(str(status.state))
        if status.error:
            entry.status.error_code = 2  # UNKNOWN
            entry.status.error_message = status.error
    return response


def check_method(name: str) -> None:
    """Make sure that an inference task is one that can be done.

    Raises:
        NotSupported: It is not.
    """
    if name not in {CLASSIFY_METHOD, REGRESS_METHOD}:
        raise errors.NotSupported(f"Unsupported signature method_name: {name}")


def check_metadata_fields(fields: Sequence[str]) -> None:
    """Make sure that the metadata asked for is what there is.

    Raises:
        InvalidRequest: None, or something else, is asked for.
    """
    if not fields:
        raise InvalidRequest("GetModelMetadataRequest must specify at least one metadata_field")
    for field in fields:
        if field != _METADATA_FIELD:
            raise InvalidRequest(f"Metadata field {field} is not supported")


def metadata_response(version: ModelVersion) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Write the answer to GetModelMetadata."""
    definitions = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in version.signatures.items():
        _define(definitions.signature_def[name], signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = version.model
    response.model_spec.version.value = version.number
    response.metadata[_METADATA_FIELD].Pack(definitions)
    return response


def _define(definition: meta_graph_pb2.SignatureDef, signature: Signature) -> None:
    definition.method_name = signature.method_name
    for name, spec in signature.inputs.items():
        _describe(definition.inputs[name], spec)
    for name, spec in signature.outputs.items():
        _describe(definition.outputs[name], spec)
    for name, tensor in signature.defaults.items():
        definition.defaults[name].CopyFrom(tensor)


def _describe(info: meta_graph_pb2.TensorInfo, spec: TensorSpec) -> None:
    info.name = spec.name
    info.dtype = spec.dtype
    if spec.shape is None:
        info.tensor_shape.unknown_rank = True
        return
    info.tensor_shape.SetInParent()
    for size in spec.shape:
        info.tensor_shape.dim.add(size=size)


def _typed(proto: Any, name: str, spec: TensorSpec, limit_bytes: int) -> NDArray[Any]:
    if proto.dtype != spec.dtype:
        raise InvalidRequest(
            f"input {name} has type {tensor_proto.type_name(proto.dtype)}, "
            f"expected {tensor_proto.type_name(spec.dtype)}"
        )
    return tensor_proto.decode(proto, name, limit_bytes)


def _completed(
    sent: Mapping[str, Any], signature: Signature, defaults: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The tensors sent, and the defaults of those that were not.

    Raises:
        InvalidRequest: One is missing that has no default, or one was sent that is not known;
            checked and said in TensorFlow Serving's order and words.
    """
    expected = signature.inputs
    if len(sent) > len(expected) or (len(sent) < len(expected) and not defaults):
        raise _wrong_inputs(set(sent), set(expected))
    for name, spec in expected.items():
        if name not in sent and name not in defaults:
            raise InvalidRequest(
                f"Signature input alias: {name}(feed name: {spec.name}) not found in request and "
                f"no default value provided. Inputs expected to be in the request "
                f"{_braces(sent)}, or default input alias set: {','.join(sorted(defaults))}"
            )
    known = [name for name in sorted(sent) if name in expected]
    if len(known) < len(sent):
        raise InvalidRequest(
            f"Inputs contains invalid name. Used request inputs: {','.join(known)}, "
            f"request input: {','.join(sorted(sent))}"
        )
    return {name: sent[name] if name in sent else defaults[name] for name in expected}


def _wrong_inputs(sent: set[str], expected: set[str]) -> InvalidRequest:
    return InvalidRequest(
        f"input size does not match signature: {len(sent)}!={len(expected)} "
        f"len({_braces(sent)}) != len({_braces(expected)}). Sent extra: "
        f"{_braces(sent - expected)}. Missing but required: {_braces(expected - sent)}."
    )


def _braces(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
