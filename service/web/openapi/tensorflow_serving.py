"""TensorFlow Serving's routes, with Hearth's additions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service import contract as contracts
from service.inference.signature import DEFAULT_SIGNATURE
from service.web.openapi.operation import answer, errors, in_path, json_body, operation, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.web.openapi.served import Served

TAG: Final = "TensorFlow Serving"
_LABEL: Final = "_label"
_BACKGROUND: Final = contracts.BACKGROUND
_DEFAULT_ALONE: Final = {"type": "string", "enum": ["", DEFAULT_SIGNATURE]}
_OBJECT: Final = {"type": "object"}
_OBJECTS: Final = {"type": "array", "items": _OBJECT}
_NUMBER: Final = {"type": ["number", "null"]}
_EXPLANATION: Final = record(
    {
        "base": _NUMBER,
        "price": _NUMBER,
        "contributions": {"type": "object", "additionalProperties": _NUMBER},
        "error": _NUMBER,
        "outside": _OBJECTS,
    },
    optional=("outside",),
)
_TRUTH: Final = record(
    {
        "request_id": {"type": "string", "minLength": 1},
        "row": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        "price": {"type": "number"},
    },
    optional=("row",),
)
_FEEDBACK: Final = {
    "anyOf": [
        {**_TRUTH, "not": {"required": ["feedback"]}},
        record({"feedback": {"type": "array", "items": _TRUTH, "maxItems": 10_000}}),
    ]
}
# Of one example: a number; labels with their scores.
_RESULTS: Final = {
    "regress": {"type": "number"},
    "classify": {"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2}},
}
_STATE: Final = record(
    {
        "version": {"type": "string"},
        "state": {"enum": ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
        "status": record({"error_code": {"type": "string"}, "error_message": {"type": "string"}}),
    }
)
_STATUS: Final = record({"model_version_status": {"type": "array", "items": _STATE}})


def index_paths() -> dict[str, Any]:
    """What is there whichever models are served."""
    schema = record({"models": {"type": "array", "items": {"type": "string"}}})
    listed = operation(
        TAG,
        "list_models",
        "Names of the models.",
        {"200": answer("The names.", schema), **errors(400)},
    )
    return {"/v1/models": {"get": listed}}


def paths(served: Served, *, drift: bool) -> dict[str, Any]:
    """The routes of one model.

    Args:
        served: The model.
        drift: Whether requests are held against its training.
    """
    made: dict[str, Any] = {}
    for path, suffix, parameters in _places(served):
        made[f"{path}:predict"] = {"post": _predict(served, suffix, parameters)}
        for verb in filter(served.on_examples, _RESULTS):
            made[f"{path}:{verb}"] = {"post": _on_examples(served, verb, suffix, parameters)}
        if suffix != _LABEL:  # a status pays no heed to labels
            made[path] = {"get": _status(served, suffix, parameters)}
        made[f"{path}/metadata"] = {"get": _metadata(served, suffix, parameters)}
        if served.version.contract is not None:
            made[f"{path}/contract"] = {"get": _contract(served, suffix, parameters)}
            if _BACKGROUND in served.version.contract.files:
                made[f"{path}:explain"] = {"post": _explain(served, suffix, parameters)}
                made[f"{path}/partial_dependence"] = {
                    "get": _dependence(served, suffix, parameters)
                }
            if drift:
                made[f"{path}/drift"] = {"get": _drift(served, suffix, parameters)}
    return made


def _places(served: Served) -> Iterator[tuple[str, str, list[Any]]]:
    """The paths that stand for the model, one of its versions, and one of its labels."""
    path = f"/v1/models/{served.name}"
    yield path, "", []
    version = {"type": "integer", "enum": [*served.numbers, *({0} - set(served.numbers))]}
    given = in_path("version", version, "A version that is served; 0 is the default one.")
    yield f"{path}/versions/{{version}}", "_version", [given]
    if served.labels:
        label = {"type": "string", "enum": list(served.labels)}
        given = in_path("label", label, "A label that is configured.")
        yield f"{path}/labels/{{label}}", _LABEL, [given]


def _predict(served: Served, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {
            "signature_name": _DEFAULT_ALONE,
            "instances": served.instances,
            "inputs": served.columns,
            **_level(served),
        },
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    }
    row = served.prediction
    if served.levels:
        row = {"anyOf": [row, served.bounded]}
    answered = {
        "type": "object",
        "properties": {"predictions": {"type": "array", "items": row}, "outputs": {}},
        "oneOf": [{"required": ["predictions"]}, {"required": ["outputs"]}],
    }
    return operation(
        TAG,
        f"predict_{served.name}{suffix}",
        f"Predictions of {served.version.model}, one a row.",
        {"200": answer("In the order of the rows.", answered), **errors(400, 404, 429, 501, 503)},
        body=json_body(form, {"instances": [served.example]}),
        parameters=parameters,
    )


def feedback_path(served: Served) -> dict[str, Any]:
    """Where true values of a model are taken."""
    answered = record({"matched": {"type": "integer"}, "unmatched": _OBJECTS})
    given = operation(
        TAG,
        f"feedback_{served.name}",
        "True values of what was predicted, by the request id of the answer.",
        {"200": answer("How many predictions have one now.", answered), **errors(400, 404)},
        body=json_body(_FEEDBACK, {"request_id": "house-7", "price": 24.0}),
    )
    return {f"/v1/models/{served.name}:feedback": {"post": given}}


def _level(served: Served) -> dict[str, Any]:
    if not served.levels:
        return {"level": {"type": "null"}}
    said = "Ask for an interval that the truth lies within so often."
    return {"level": {"enum": [*served.levels, None], "description": said}}


def _status(served: Served, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    return operation(
        TAG,
        f"status_{served.name}{suffix}",
        "Where its versions stand.",
        {"200": answer("Newest first.", _STATUS), **errors(400, 404, 503)},
        parameters=parameters,
    )


def _metadata(served: Served, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    form = record({"model_spec": _OBJECT, "metadata": _OBJECT})
    return operation(
        TAG,
        f"metadata_{served.name}{suffix}",
        "Its signatures.",
        {"200": answer("As TensorFlow Serving has them.", form), **errors(400, 404)},
        parameters=parameters,
    )


def _contract(served: Served, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    form = record(
        {"model": {"type": "string"}, "features": _OBJECTS, "target": _OBJECT, "metrics": _OBJECT}
    )
    return operation(
        TAG,
        f"contract_{served.name}{suffix}",
        "Its own description: features with units and limits, metrics, lineage.",
        {"200": answer("The contract.", form), **errors(400, 404)},
        parameters=parameters,
    )


def _drift(served: Served, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    form = record(
        {
            "rows": {"type": "integer"},
            "window_s": {"type": "number"},
            "drifted": {"type": "array", "items": {"type": "string"}},
            "columns": _OBJECTS,
        }
    )
    return operation(
        TAG,
        f"drift_{served.name}{suffix}",
        "How requests and predictions compare with its training.",
        {"200": answer("One entry a column.", form), **errors(400, 404)},
        parameters=parameters,
    )


def _explain(served: Served, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    form = record(
        {"signature_name": _DEFAULT_ALONE, "instances": served.instances},
        optional=("signature_name",),
    )
    answered = record({"explanations": {"type": "array", "items": _EXPLANATION}})
    return operation(
        TAG,
        f"explain_{served.name}{suffix}",
        f"What each feature adds to a prediction of {served.version.model}, one a row.",
        {"200": answer("In the order of the rows.", answered), **errors(400, 404, 429, 501, 503)},
        body=json_body({**form, "not": {"required": ["inputs"]}}, {"instances": [served.example]}),
        parameters=parameters,
    )


def _on_examples(served: Served, verb: str, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    """Classify or regress: rows as the JSON form of ``tf.Example`` messages."""
    names = served.on_examples(verb)
    form = record(
        {
            "signature_name": {"type": "string", "enum": ["", DEFAULT_SIGNATURE, *names]},
            "examples": {"type": "array", "items": served.as_example, "minItems": 1},
        },
        optional=("signature_name",),
    )
    answered = record({"results": {"type": "array", "items": _RESULTS[verb]}})
    return operation(
        TAG,
        f"{verb}_{served.name}{suffix}",
        f"What {served.version.model} makes of examples: numbers with a point, 6.0 and not 6, "
        "since whole ones are integers there.",
        {"200": answer("In the order of the examples.", answered), **errors(400, 404, 429, 503)},
        body=json_body(form, {"examples": [served.example]}),
        parameters=parameters,
    )


def _dependence(served: Served, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    form = record({"base": {"type": "number"}, "features": _OBJECT})
    return operation(
        TAG,
        f"partial_dependence_{served.name}{suffix}",
        "How its predictions go with each feature.",
        {"200": answer("A curve a feature.", form), **errors(400, 404)},
        parameters=parameters,
    )
