"""TensorFlow Serving's routes, with Hearth's additions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service import contract as contracts
from service.inference.signature import DEFAULT_SIGNATURE
from service.web.openapi.operation import answer, errors, in_path, json_body, operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.web.openapi.served import Served

TAG: Final = "TensorFlow Serving"
_LABEL: Final = "_label"
_BACKGROUND: Final = contracts.BACKGROUND
_EXPLANATION: Final = {
    "type": "object",
    "properties": {
        "base": {"type": ["number", "null"]},
        "price": {"type": ["number", "null"]},
        "contributions": {
            "type": "object",
            "additionalProperties": {"type": ["number", "null"]},
        },
        "error": {"type": ["number", "null"]},
        "outside": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["base", "price", "contributions", "error"],
}
_TRUTH: Final = {
    "type": "object",
    "properties": {
        "request_id": {"type": "string", "minLength": 1},
        "row": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        "price": {"type": "number"},
    },
    "required": ["request_id", "price"],
}
_FEEDBACK: Final = {
    "anyOf": [
        {**_TRUTH, "not": {"required": ["feedback"]}},
        {
            "type": "object",
            "properties": {"feedback": {"type": "array", "items": _TRUTH, "maxItems": 10_000}},
            "required": ["feedback"],
        },
    ]
}
_STATUS: Final = {
    "type": "object",
    "properties": {
        "model_version_status": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "version": {"type": "string"},
                    "state": {
                        "enum": ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"],
                    },
                    "status": {
                        "type": "object",
                        "properties": {
                            "error_code": {"type": "string"},
                            "error_message": {"type": "string"},
                        },
                        "required": ["error_code", "error_message"],
                    },
                },
                "required": ["version", "state", "status"],
            },
        }
    },
    "required": ["model_version_status"],
}


def index_paths() -> dict[str, Any]:
    """What is there whichever models are served."""
    schema = {
        "type": "object",
        "properties": {"models": {"type": "array", "items": {"type": "string"}}},
        "required": ["models"],
    }
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
            "signature_name": {"type": "string", "enum": ["", DEFAULT_SIGNATURE]},
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
    answered = {
        "type": "object",
        "properties": {
            "matched": {"type": "integer"},
            "unmatched": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["matched", "unmatched"],
    }
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
    form = {
        "type": "object",
        "properties": {"model_spec": {"type": "object"}, "metadata": {"type": "object"}},
        "required": ["model_spec", "metadata"],
    }
    return operation(
        TAG,
        f"metadata_{served.name}{suffix}",
        "Its signatures.",
        {"200": answer("As TensorFlow Serving has them.", form), **errors(400, 404)},
        parameters=parameters,
    )


def _contract(served: Served, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "features": {"type": "array", "items": {"type": "object"}},
            "target": {"type": "object"},
            "metrics": {"type": "object"},
        },
        "required": ["model", "features", "target", "metrics"],
    }
    return operation(
        TAG,
        f"contract_{served.name}{suffix}",
        "Its own description: features with units and limits, metrics, lineage.",
        {"200": answer("The contract.", form), **errors(400, 404)},
        parameters=parameters,
    )


def _drift(served: Served, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {
            "rows": {"type": "integer"},
            "window_s": {"type": "number"},
            "drifted": {"type": "array", "items": {"type": "string"}},
            "columns": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["rows", "window_s", "drifted", "columns"],
    }
    return operation(
        TAG,
        f"drift_{served.name}{suffix}",
        "How requests and predictions compare with its training.",
        {"200": answer("One entry a column.", form), **errors(400, 404)},
        parameters=parameters,
    )


def _explain(served: Served, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {
            "signature_name": {"type": "string", "enum": ["", DEFAULT_SIGNATURE]},
            "instances": served.instances,
        },
        "required": ["instances"],
        "not": {"required": ["inputs"]},
    }
    answered = {
        "type": "object",
        "properties": {"explanations": {"type": "array", "items": _EXPLANATION}},
        "required": ["explanations"],
    }
    return operation(
        TAG,
        f"explain_{served.name}{suffix}",
        f"What each feature adds to a prediction of {served.version.model}, one a row.",
        {"200": answer("In the order of the rows.", answered), **errors(400, 404, 429, 501, 503)},
        body=json_body(form, {"instances": [served.example]}),
        parameters=parameters,
    )


def _dependence(served: Served, suffix: str, parameters: list[Any]) -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {"base": {"type": "number"}, "features": {"type": "object"}},
        "required": ["base", "features"],
    }
    return operation(
        TAG,
        f"partial_dependence_{served.name}{suffix}",
        "How its predictions go with each feature.",
        {"200": answer("A curve a feature.", form), **errors(400, 404)},
        parameters=parameters,
    )
