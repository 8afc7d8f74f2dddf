"""The routes of MLflow and SageMaker, and Vertex AI's two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service.inference.signature import DEFAULT_SIGNATURE
from service.web.openapi.operation import answer, errors, json_body, operation, record

if TYPE_CHECKING:
    from service.web.openapi.served import Served

TAG: Final = "MLflow and SageMaker"
VERTEX_TAG: Final = "Vertex AI"
_PREDICTIONS: Final = {
    "type": "object",
    "properties": {"predictions": {"type": "array"}},
    "required": ["predictions"],
}
_FORMS: Final = ("instances", "inputs", "dataframe_records", "dataframe_split")
_PING: Final = {
    "200": {"description": "The model is served."},
    "404": {"description": "No model answers here."},
}


def paths(served: Served | None) -> dict[str, Any]:
    """The four routes.

    Args:
        served: The model that answers; None where requests without a model's name are refused.
    """
    ping = {"get": operation(TAG, "ping", "Whether a model is served.", _PING)}
    health = {"get": operation(TAG, "health", "The same.", _PING)}
    version = {
        "get": operation(TAG, "version", "Hearth's version.", {"200": answer("As bare text.", {})})
    }
    made = {"/ping": ping, "/health": health, "/version": version}
    return made if served is None else made | {"/invocations": {"post": _invoke(served)}}


def vertex_paths(health: str, predict: str, served: Served | None) -> dict[str, Any]:
    """The two routes that Vertex AI gives a container.

    Args:
        health: The health route; empty for none.
        predict: The predict route; empty for none.
        served: The model that answers, or None.
    """
    made: dict[str, Any] = {}
    if health:
        responses = {"200": answer("Ready.", {"type": "object"}), **errors(400, 503)}
        made[health] = {"get": operation(VERTEX_TAG, "vertex_health", "Readiness.", responses)}
    if predict and served is not None:
        made[predict] = {"post": _vertex_predict(served)}
    return made


def _invoke(served: Served) -> dict[str, Any]:
    responses = {
        "200": answer("One prediction a row.", _PREDICTIONS),
        **errors(400, 404, 429, 501, 503, form="MLflowError"),
        "415": {"description": "The body's type is none of those known."},
    }
    summary = f"Predictions of {served.version.model}, in any of MLflow's forms."
    body = json_body(_invocation(served), _invocation_example(served))
    return operation(TAG, "invocations", summary, responses, body=body)


def _invocation(served: Served) -> dict[str, Any]:
    if not served.features:
        return _only("instances", served.instances)
    records = {"type": "array", "items": served.record, "minItems": 1}
    forms = {"instances": served.records, "dataframe_records": records}
    return {"oneOf": [_only(name, form) for name, form in forms.items()]}


def _only(name: str, form: Any) -> dict[str, Any]:
    """A body with one of MLflow's forms and none of the others."""
    others = [{"required": [it]} for it in _FORMS if it != name]
    return {
        "type": "object",
        "properties": {name: form, "params": {"type": ["object", "null"]}},
        "required": [name],
        "not": {"anyOf": others},
    }


def _invocation_example(served: Served) -> dict[str, Any]:
    return {"dataframe_records" if served.features else "instances": [served.example]}


def _vertex_predict(served: Served) -> dict[str, Any]:
    rows = {"instances": served.instances, "parameters": _parameters(served)}
    form = record(rows, optional=("parameters",)) | {"additionalProperties": False}
    return operation(
        VERTEX_TAG,
        "vertex_predict",
        f"Predictions of {served.version.model}.",
        {"200": answer("One a row.", _PREDICTIONS), **errors(400, 404, 429, 501, 503)},
        body=json_body(form, {"instances": [served.example]}),
    )


def _parameters(served: Served) -> dict[str, Any]:
    names: dict[str, Any] = {"signature_name": {"enum": [DEFAULT_SIGNATURE]}}
    if served.levels:
        names["level"] = {"enum": [*served.levels, None]}
    return {"type": ["object", "null"], "properties": names, "additionalProperties": False}
