"""What platforms tell a container: SageMaker by its argument and variables, Vertex AI by variables.

SageMaker runs ``IMAGE serve``, unpacks the model into ``/opt/ml/model`` and ends with
SIGTERM and, 30 s later, SIGKILL. Vertex AI names port, routes and model in ``AIP_*``.

References:
    SageMaker's developer guide, "Custom inference code with hosting services";
    Vertex AI's documentation, "Custom container requirements for prediction".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVE: Final = "serve"
_SAGEMAKER_PORT: Final = "8080"
_SAGEMAKER_MODEL: Final = "/opt/ml/model"
# Seconds: less than the 30 after which SageMaker kills, with some for the way down itself.
_SAGEMAKER_GRACE_S: Final = "25"

_VERTEX: Final[Mapping[str, str]] = {
    "AIP_HTTP_PORT": "rest_api_port",
    "AIP_HEALTH_ROUTE": "vertex_health_route",
    "AIP_PREDICT_ROUTE": "vertex_predict_route",
    "AIP_STORAGE_URI": "model_base_path",
}


class Told(NamedTuple):
    """The value of a knob, and who says it."""

    place: str
    text: str


def without_serve(arguments: Sequence[str]) -> tuple[bool, Sequence[str]]:
    """Whether the first argument is SageMaker's, and the others."""
    serve = bool(arguments) and arguments[0] == SERVE
    return serve, arguments[1:] if serve else arguments


def told(environment: Mapping[str, str], *, serve: bool) -> dict[str, Told]:
    """What the platform asks for, by the name of the knob; flags win over it.

    Args:
        environment: The process's environment.
        serve: Whether SageMaker's argument was given.
    """
    asked = _sagemaker(environment) if serve else {}
    for variable, knob in _VERTEX.items():
        if environment.get(variable):
            asked[knob] = Told(variable, environment[variable])
    if "model_base_path" in asked:
        asked["find_model"] = Told(asked["model_base_path"].place, "true")
    return asked


def _sagemaker(environment: Mapping[str, str]) -> dict[str, Told]:
    port = environment.get("SAGEMAKER_BIND_TO_PORT")
    return {
        "rest_api_port": Told("SAGEMAKER_BIND_TO_PORT", port or _SAGEMAKER_PORT),
        # Containers of one pipeline share their ports, and are told of one each.
        "port": Told(SERVE, "0"),
        "model_base_path": Told(SERVE, _SAGEMAKER_MODEL),
        "graceful_timeout_s": Told(SERVE, _SAGEMAKER_GRACE_S),
    }
