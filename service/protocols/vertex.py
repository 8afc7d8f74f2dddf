"""Vertex AI's predict requests: instances in, a prediction an instance out.

Its instances and predictions are TensorFlow Serving's; where that has ``signature_name``
beside them, a client of Vertex can send no more than ``parameters``.

References:
    Vertex AI's documentation, "Custom container requirements for prediction".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service.errors import InvalidRequest
from service.inference.signature import DEFAULT_SIGNATURE
from service.protocols import json_body
from service.protocols.json_tensors import shown
from service.protocols.levels import LEVEL
from service.protocols.tensorflow_serving import InferenceRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS: Final = frozenset({"instances", "parameters"})
_SIGNATURE: Final = "signature_name"
_KNOWN: Final = (_SIGNATURE, LEVEL)


def parse(body: bytes) -> InferenceRequest:
    """Read a predict request as far as it can be without the signature.

    Args:
        body: The body.

    Returns:
        The same request in TensorFlow Serving's form.

    Raises:
        InvalidRequest: It is not an object of ``instances`` and ``parameters``, or a
            parameter is not known.
    """
    document = json_body.parse(body)
    if not isinstance(document, dict):
        raise InvalidRequest(f"the body is {shown(document)}, not an object")
    if "instances" not in document:
        raise InvalidRequest("Missing 'instances' key")
    unknown = [key for key in document if key not in _KEYS]
    if unknown:
        raise InvalidRequest(f"unknown key {shown(unknown[0])}; known: instances, parameters")
    parameters = _parameters(document.get("parameters"))
    rows = {"instances": document["instances"]}
    return InferenceRequest(_signature_name(parameters), rows, parameters.get(LEVEL))


def _parameters(parameters: Any) -> Mapping[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"parameters is {shown(parameters)}, not an object")
    for name in parameters:
        if name not in _KNOWN:
            raise InvalidRequest(f"unknown parameter {shown(name)}; known: {', '.join(_KNOWN)}")
    return parameters


def _signature_name(parameters: Mapping[str, Any]) -> str:
    name = parameters.get(_SIGNATURE, DEFAULT_SIGNATURE)
    if not isinstance(name, str):
        raise InvalidRequest(f"parameters.{_SIGNATURE} is {shown(name)}, not a string")
    return name
