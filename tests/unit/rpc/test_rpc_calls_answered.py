"""TensorFlow Serving's calls, asked as functions: no socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import errors
from service.errors import HearthError
from service.exchange import Exchange
from service.messages import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_server_config_pb2,
    predict_pb2,
    regression_pb2,
)
from service.protocols.tensorflow_serving_grpc import CODE_OF, encode_error
from service.repository.config import All, ModelConfig
from service.repository.repository import Repository
from service.rpc.calls import address_of
from service.rpc.tensorflow_serving import TensorFlowServing
from tests.unit.rpc.parsers import example, parser_version
from tests.unit.service.fakes import Witness

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Code = grpc.StatusCode


class Requests:
    """A control that notes what is asked of it."""

    def __init__(self) -> None:
        self.reloads: list[Any] = []

    def reload(self, configs: Any) -> None:
        self.reloads.append(list(configs))

    def exposition(self) -> bytes:
        """Metrics that count the reloads."""
        return f"# TYPE reloads counter\nreloads_total {len(self.reloads)}\n".encode()


@pytest.fixture
def control() -> Requests:
    return Requests()


@pytest.fixture
def services(tmp_path: Path, control: Requests) -> TensorFlowServing:
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
    repository = Repository(
        [ModelConfig("housing", tmp_path, All(), {"stable": 1})],
        lambda _model, number, _path: parser_version(number),
        Witness(),
    )
    repository.poll()
    return TensorFlowServing(repository, control, control.exposition, 2**20, as_content=False)


@pytest.fixture
def call(services: TensorFlowServing) -> Callable[[Any], Any]:
    methods = {
        method.request: method
        for service in services.services()
        for method in service.methods.values()
    }

    def asked(request: Any) -> Any:
        method, exchange = methods[type(request)], Exchange("id", "gRPC", "/x", "", 0.0)
        if method.prepare is not None:
            return method.prepare(request, exchange).run()
        return method.answer(request, exchange)

    return asked


@pytest.fixture
def refusal(call: Callable[[Any], Any]) -> Callable[[Any], tuple[Code, str]]:
    def refused(request: Any) -> tuple[Code, str]:
        with pytest.raises(HearthError) as raised:
            call(request)
        return encode_error(raised.value)

    return refused


def predict(*rows: list[float], **spec: Any) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "housing"
    for name, value in spec.items():
        if name == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, name, value)
    features = request.inputs["features"]
    features.dtype = 1
    for size in (len(rows), 3):
        features.tensor_shape.dim.add(size=size)
    features.float_val.extend(value for row in rows for value in row)
    return request


def ask(kind: type, *values: float, signature: str = "", model: str = "housing") -> Any:
    request = kind()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    request.input.example_list.examples.extend(example(x=value) for value in values)
    return request


def regress(*values: float, **spec: str) -> Any:
    return ask(regression_pb2.RegressionRequest, *values, **spec)


def classify(*values: float, **spec: str) -> Any:
    return ask(classification_pb2.ClassificationRequest, *values, **spec)


def tasks(*wanted: tuple[str, str, str], values: tuple[float, ...] = (1.0,)) -> Any:
    request = inference_pb2.MultiInferenceRequest()
    request.input.example_list.examples.extend(example(x=value) for value in values)
    for model, signature, method in wanted:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = model
        task.model_spec.signature_name = signature
    return request


def test_predict_says_who_answered_and_what(call):
    answer = call(predict([1, 2, 3], [4, 5, 6]))

    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("housing", 2, "serving_default")
    assert list(answer.outputs) == ["price"]
    assert list(answer.outputs["price"].float_val) == [6.0, 15.0]
    assert [dim.size for dim in answer.outputs["price"].tensor_shape.dim] == [2]


@pytest.mark.parametrize(
    ("spec", "version"), [({}, 2), ({"version": 1}, 1), ({"version_label": "stable"}, 1)]
)
def test_version_and_label_choose(call, spec, version):
    assert call(predict([1, 2, 3], **spec)).model_spec.version.value == version


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"version": 9}, Code.NOT_FOUND, "Servable not found for request: Specific(housing, 9)"),
        ({"name": "x"}, Code.NOT_FOUND, "Servable not found for request: Latest(x)"),
        (
            {"version_label": "x"},
            Code.INVALID_ARGUMENT,
            "Unrecognized servable version label: x",
        ),
        (
            {"signature_name": "x"},
            Code.FAILED_PRECONDITION,
            'Serving signature key "x" not found.',
        ),
        ({"name": ""}, Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
    ],
)
def test_a_model_spec_that_fits_nothing_is_refused_in_tensorflow_servings_words(
    refusal, spec, code, message
):
    assert refusal(predict([1, 2, 3], **spec)) == (code, message)


@pytest.mark.parametrize(
    "kind",
    [
        predict_pb2.PredictRequest,
        classification_pb2.ClassificationRequest,
        regression_pb2.RegressionRequest,
        get_model_metadata_pb2.GetModelMetadataRequest,
        get_model_status_pb2.GetModelStatusRequest,
    ],
)
def test_without_a_model_spec_nothing_is_answered(refusal, kind):
    assert refusal(kind()) == (Code.INVALID_ARGUMENT, "Missing ModelSpec")


def test_inputs_must_be_those_of_the_signature(refusal):
    request = predict([1, 2, 3])
    request.inputs["z"].CopyFrom(request.inputs["features"])
    assert refusal(request) == (
        Code.INVALID_ARGUMENT,
        (
            "input size does not match signature: 2!=1 len({features,z}) != len({features}). "
            "Sent extra: {z}. Missing but required: {}."
        ),
    )

    del request.inputs["features"]
    assert refusal(request)[1] == (
        "Signature input alias: features(feed name: x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {z}, or default input alias set: "
    )


def test_an_input_of_another_type_is_refused(refusal):
    request = predict([1, 2, 3])
    request.inputs["features"].dtype = 2

    assert refusal(request) == (
        Code.INVALID_ARGUMENT,
        "input features has type DT_DOUBLE, expected DT_FLOAT",
    )


def test_an_output_filter_names_outputs_once_each(call, refusal):
    request = predict([1, 2, 3])
    request.output_filter.append("price")
    assert list(call(request).outputs) == ["price"]

    request.output_filter.append("price")
    assert refusal(request) == (Code.INVALID_ARGUMENT, "duplicate output tensor alias: price")

    request.output_filter[:] = ["y2"]
    assert refusal(request) == (
        Code.INVALID_ARGUMENT,
        "output tensor alias not found in signature: y2 Outputs expected to be in the set {price}.",
    )


def test_wrong_inputs_are_said_before_a_wrong_filter(refusal):
    request = predict([1, 2, 3])
    request.inputs["z"].dtype = 1
    request.output_filter.append("y2")

    assert "input size does not match" in refusal(request)[1]


def test_predict_works_with_a_signature_that_takes_examples(call):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "housing"
    request.model_spec.signature_name = "regress"
    request.inputs["inputs"].dtype = 7
    request.inputs["inputs"].tensor_shape.dim.add(size=1)
    request.inputs["inputs"].string_val.append(example(x=1.5).SerializeToString())

    assert list(call(request).outputs["outputs"].float_val) == [1.5]


def test_numbers_may_be_answered_as_content(services, call):
    services._as_content = True

    price = call(predict([1, 2, 3])).outputs["price"]

    assert price.tensor_content == b"\x00\x00\xc0\x40"  # 6.0 as little-endian IEEE 754
    assert not price.float_val


def test_regress_gives_a_value_an_example(call):
    answer = call(regress(1.0, 2.5, signature="regress"))

    assert [it.value for it in answer.result.regressions] == [1.0, 2.5]
    assert answer.model_spec.version.value == 2
    assert answer.model_spec.signature_name == "regress"


def test_classify_gives_labels_and_scores(call):
    (row,) = call(classify(0.5, signature="classify")).result.classifications

    assert [(it.label, it.score) for it in row.classes] == [("no", 0.75), ("schön", 0.25)]


def test_the_default_signature_falls_to_the_one_named_like_the_method(call):
    assert [it.value for it in call(regress(4.0)).result.regressions] == [4.0]
    assert len(call(classify(4.0)).result.classifications) == 1


@pytest.mark.parametrize("method", [regress, classify])
def test_an_unknown_signature_is_no_argument_for_examples(refusal, method):
    assert refusal(method(1.0, signature="x")) == (
        Code.INVALID_ARGUMENT,
        "No signature was found with the name: x",
    )


@pytest.mark.parametrize("method", [regress, classify])
def test_no_examples_are_refused(refusal, method):
    assert refusal(method()) == (Code.INVALID_ARGUMENT, "Input is empty.")


def test_a_signature_that_takes_no_examples_is_refused(refusal):
    code, message = refusal(regress(1.0, signature="named"))

    assert code == Code.INVALID_ARGUMENT
    assert "named takes RM, AGE, LSTAT" in message


def test_several_inferences_share_their_examples(call):
    request = tasks(
        ("housing", "regress", "regress"), ("housing", "classify", "classify"), values=(1.0, 2.0)
    )

    first, second = call(request).results

    assert [it.value for it in first.regression_result.regressions] == [1.0, 2.0]
    assert len(second.classification_result.classifications) == 2
    assert (first.model_spec.signature_name, second.model_spec.signature_name) == (
        "regress",
        "classify",
    )


def test_the_first_task_chooses_the_version(call):
    request = tasks(("housing", "regress", "regress"), ("housing", "classify", "classify"))
    request.tasks[0].model_spec.version.value = 1

    assert [it.model_spec.version.value for it in call(request).results] == [1, 1]


@pytest.mark.parametrize(
    ("wanted", "code", "said"),
    [
        ([], Code.INVALID_ARGUMENT, "at least one task"),
        (
            [("housing", "a", "regress"), ("other", "b", "regress")],
            Code.INVALID_ARGUMENT,
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            [("housing", "regress", "regress"), ("housing", "regress", "regress")],
            Code.INVALID_ARGUMENT,
            "Duplicate evaluation of signature: regress",
        ),
        (
            [("housing", "regress", "predict")],
            Code.UNIMPLEMENTED,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (
            [("housing", "x", "regress")],
            Code.INVALID_ARGUMENT,
            "No signature was found with the name: x",
        ),
        (
            [("", "regress", "regress")],
            Code.INVALID_ARGUMENT,
            "ModelSpec has no name specified.",
        ),
    ],
)
def test_tasks_that_make_no_sense_are_refused(refusal, wanted, code, said):
    got, message = refusal(tasks(*wanted))

    assert got == code
    assert said in message


def metadata(*fields: str, model: str = "housing") -> Any:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = model
    return request


def test_metadata_is_every_signature(call):
    answer = call(metadata("signature_def"))

    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(definitions)
    assert set(definitions.signature_def) == {"serving_default", "named", "classify", "regress"}
    features = definitions.signature_def["serving_default"].inputs["features"]
    assert (features.name, features.dtype) == ("x:0", 1)
    assert [dim.size for dim in features.tensor_shape.dim] == [-1, 3]
    assert definitions.signature_def["regress"].method_name == "tensorflow/serving/regress"
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("housing", 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], "GetModelMetadataRequest must specify at least one metadata_field"),
        (["x"], "Metadata field x is not supported"),
        (["signature_def", "x"], "Metadata field x is not supported"),
    ],
)
def test_other_metadata_is_refused(refusal, fields, message):
    assert refusal(metadata(*fields)) == (Code.INVALID_ARGUMENT, message)


def status(**spec: int) -> Any:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "housing"
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    return request


def test_status_lists_versions_newest_first(call):
    states = call(status()).model_version_status

    assert [it.version for it in states] == [2, 1]
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert {it.state for it in states} == {available}
    assert [it.version for it in call(status(version=1)).model_version_status] == [1]


def test_status_of_what_is_not_there(refusal):
    assert refusal(status(version=7)) == (
        Code.NOT_FOUND,
        "Could not find version 7 of model housing",
    )
    request = status()
    request.model_spec.name = "x"
    assert refusal(request) == (Code.NOT_FOUND, "Could not find any versions of model x")


def test_a_reload_asks_for_the_models_named(call, control):
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name="a", base_path="/m/a", model_platform="tensorflow")

    answer = call(model_management_pb2.ReloadConfigRequest(config=config))

    assert answer.status.error_code == 0
    assert [[it.name for it in configs] for configs in control.reloads] == [["a"]]


def test_a_reload_may_ask_for_no_model(call, control):
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.SetInParent()

    call(model_management_pb2.ReloadConfigRequest(config=config))

    assert control.reloads == [[]]


def test_a_reload_without_a_config_asks_for_nothing(refusal, control):
    code, _ = refusal(model_management_pb2.ReloadConfigRequest())

    assert code == Code.INVALID_ARGUMENT
    assert control.reloads == []


def test_calls_that_ask_for_inference_are_read_before_they_are_computed(services):
    prepared = {
        name
        for service in services.services()
        for name, method in service.methods.items()
        if method.prepare is not None
    }

    assert prepared == {"Predict", "Classify", "Regress"}


# --- errors ---


def kinds(kind: type[HearthError]) -> list[type[HearthError]]:
    return [kind, *(it for child in kind.__subclasses__() for it in kinds(child))]


# TensorFlow Serving's codes; of what it does not know, gRPC's own advice in its documentation.
EXPECTED = {
    errors.InvalidRequest: Code.INVALID_ARGUMENT,
    errors.PayloadTooLarge: Code.RESOURCE_EXHAUSTED,
    errors.RequestTimeout: Code.DEADLINE_EXCEEDED,
    errors.SignatureNotFound: Code.FAILED_PRECONDITION,
    errors.NotSupported: Code.UNIMPLEMENTED,
    errors.NotPossibleNow: Code.FAILED_PRECONDITION,
    errors.Unauthenticated: Code.UNAUTHENTICATED,
    errors.Forbidden: Code.PERMISSION_DENIED,
    errors.NotFound: Code.NOT_FOUND,
    errors.RouteNotFound: Code.NOT_FOUND,
    errors.ModelNotFound: Code.NOT_FOUND,
    errors.NotReady: Code.UNAVAILABLE,
    errors.Overloaded: Code.RESOURCE_EXHAUSTED,
    errors.RateLimited: Code.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: Code.DEADLINE_EXCEEDED,
    errors.InternalError: Code.INTERNAL,
    errors.VersionRefused: Code.UNAVAILABLE,
}


@pytest.mark.parametrize("kind", kinds(HearthError)[1:])
def test_every_error_has_a_code_and_says_why(kind):
    code, message = encode_error(kind("why"))

    assert code == EXPECTED[kind]
    assert "why" in message


def test_the_code_table_names_only_errors_that_exist():
    assert set(CODE_OF) <= set(kinds(HearthError)[1:])


def test_a_long_message_is_cut_at_1024_bytes():
    assert encode_error(errors.InvalidRequest("x" * 1024))[1] == "x" * 1024
    assert encode_error(errors.InvalidRequest("x" * 2000))[1] == "x" * 1024 + "...TRUNCATED"
    long_name = encode_error(errors.SignatureNotFound("x" * 2000))[1]
    assert long_name == ('Serving signature key "' + "x" * 2000)[:1024] + "...TRUNCATED"


@given(st.text(st.characters(codec=None), max_size=1500))
def test_whatever_a_caller_sends_comes_back_in_a_header_that_clients_take(text):
    _, message = encode_error(errors.SignatureNotFound(text))

    # Three characters for a byte in the worst case; clients take 8 KiB of headers.
    assert len(message.encode()) <= 1024 + len("...TRUNCATED")


def test_a_reload_tells_how_much_the_metrics_asked_for_have_grown(call):
    request = model_management_pb2.ReloadConfigRequest(metric_names=["reloads", "/no/such"])
    request.config.model_config_list.SetInParent()

    answer = call(request)

    assert {it.name: it.int64_value_increase for it in answer.metric} == {
        "reloads": 1,
        "/no/such": 0,
    }
    assert answer.status.error_code == 0


def test_a_reload_that_asks_for_no_metrics_is_told_of_none(call):
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()

    assert list(call(request).metric) == []


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:50051", "10.0.0.7"),
        ("ipv6:%5B::1%5D:50051", "::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:50051", "fe80::1%eth0"),
        ("unix:", "unix"),
    ],
)
def test_a_caller_has_the_address_that_it_has_over_rest(peer, address):
    assert address_of(peer) == address
