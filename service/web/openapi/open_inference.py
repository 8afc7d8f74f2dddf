"""The routes of Open Inference Protocol v2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service.protocols.open_inference_tensors import datatype_of
from service.web.openapi.operation import answer, errors, in_path, json_body, operation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.web.openapi.served import Served

TAG: Final = "Open Inference v2"
_PARAMETERS: Final = {
    "type": ["object", "null"],
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
_TENSOR: Final = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string"},
        "parameters": _PARAMETERS,
        "data": {"type": "array"},
    },
    "required": ["name", "shape", "datatype"],
}
_INFER: Final = {
    "type": "object",
    "properties": {
        "id": {"type": ["string", "null"]},
        "parameters": _PARAMETERS,
        "inputs": {"type": "array", "items": _TENSOR, "minItems": 1},
        "outputs": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS},
                "required": ["name"],
            },
        },
    },
    "required": ["inputs"],
}
_INFERRED: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
    "required": ["model_name", "outputs"],
}
_OBJECT: Final = {"type": "object"}
_LIVE: Final = {
    "type": "object",
    "properties": {"live": {"type": "boolean"}},
    "required": ["live"],
}
_READY: Final = {
    "type": "object",
    "properties": {
        "live": {"type": "boolean"},
        "name": {"type": "string"},
        "ready": {"type": "boolean"},
        "error": {"type": "string"},
    },
    "required": ["ready"],
}


def server_paths(names: Sequence[str], *, control: bool) -> dict[str, Any]:
    """What is there whichever models are served.

    Args:
        names: The models that are configured.
        control: Whether callers may load and unload them.
    """
    made = {
        "/v2": _get("server", "What the server is called and can do.", _OBJECT),
        "/v2/health/live": _get("live", "Whether the process answers.", _LIVE),
        "/v2/health/ready": _readiness("ready", "Whether the server is ready.", ()),
        "/v2/models": _get("model_names", "Names of the models.", _OBJECT),
        "/v2/models/stats": _get("all_statistics", "Counts and times of all models.", _OBJECT),
        "/v2/repository/index": {"post": _index()},
    }
    if control and names:
        made |= {f"/v2/repository/models/{{model}}/{it}": _control(it, names) for it in _CONTROLS}
    return made


def paths(served: Served) -> dict[str, Any]:
    """The routes of one model."""
    made: dict[str, Any] = {}
    for path, suffix, parameters in _places(served):
        name = f"{served.name}{suffix}"
        made |= {
            f"{path}/infer": {"post": _infer(served, name, parameters)},
            path: _get(f"model_{name}", "Its tensors.", _OBJECT, parameters, 400, 404, 503),
            f"{path}/ready": _readiness(f"ready_{name}", "Whether it is served.", parameters),
            f"{path}/config": _get(
                f"config_{name}", "Its configuration.", _OBJECT, parameters, 400, 404, 503
            ),
            f"{path}/stats": _get(
                f"statistics_{name}", "Counts and times.", _OBJECT, parameters, 400, 404, 503
            ),
        }
    return made


_CONTROLS: Final = ("load", "unload")


def _places(served: Served) -> Iterator[tuple[str, str, list[Any]]]:
    path = f"/v2/models/{served.name}"
    yield path, "", []
    version = {"type": "string", "enum": [*map(str, served.numbers), *served.labels]}
    given = in_path("version", version, "A version or label that is served.")
    yield f"{path}/versions/{{version}}", "_version", [given]


def _get(
    identifier: str, summary: str, form: Any, parameters: Sequence[Any] = (), *statuses: int
) -> dict[str, Any]:
    responses = {"200": answer(summary, form), **errors(*statuses)}
    return {"get": operation(TAG, f"v2_{identifier}", summary, responses, parameters=parameters)}


def _readiness(identifier: str, summary: str, parameters: Sequence[Any]) -> dict[str, Any]:
    responses = {
        "200": answer("Ready.", _READY),
        **errors(400, 404),
        "503": answer("Not ready.", _READY),
    }
    return {"get": operation(TAG, f"v2_{identifier}", summary, responses, parameters=parameters)}


def _infer(served: Served, name: str, parameters: list[Any]) -> dict[str, Any]:
    example = _example(served)
    return operation(
        TAG,
        f"v2_infer_{name}",
        f"Outputs of {served.version.model} for tensors.",
        {"200": answer("The outputs.", _INFERRED), **errors(400, 404, 429, 501, 503)},
        body=json_body(_INFER, example),
        parameters=parameters,
    )


def _example(served: Served) -> Any:
    """One row of medians; None for a model whose rows are not known."""
    contract = served.version.contract
    if contract is None or contract.input not in served.signature.inputs:
        return None
    datatype = datatype_of(served.signature.inputs[contract.input])
    data = [it.training.median for it in contract.features]
    tensor = {"name": contract.input, "shape": [1, len(data)], "datatype": datatype, "data": data}
    return {"inputs": [tensor]}


def _index() -> dict[str, Any]:
    form = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    body = json_body(form, {"ready": True})
    listed = {"type": "array", "items": {"type": "object"}}
    return operation(
        TAG,
        "v2_index",
        "All versions and their states.",
        {"200": answer("One entry a version.", listed), **errors(400)},
        body={**body, "required": False},
    )


def _control(verb: str, names: Sequence[str]) -> dict[str, Any]:
    model = in_path("model", {"type": "string", "enum": list(names)}, "A model.")
    responses = {"200": answer("Done.", _OBJECT), **errors(400, 404, 503)}
    summary = f"{verb.capitalize()} a model."
    return {"post": operation(TAG, f"v2_{verb}", summary, responses, parameters=[model])}
