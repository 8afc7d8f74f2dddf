"""Open Inference Protocol v2: routes, errors, and what server and models say of themselves.

Documents are plain data: REST writes them as JSON, gRPC as messages with the same names.

References:
    kserve/open-inference-protocol, specification/protocol/inference_rest.md;
    triton-inference-server/server, docs/protocol/extension_{model_configuration,
    model_repository,statistics}.md.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

from service import VERSION, errors
from service.errors import InvalidRequest, RouteNotFound
from service.inference.signature import DEFAULT_SIGNATURE
from service.protocols import json_body, levels
from service.protocols.open_inference_tensors import BYTES, NUMPY, datatype_of
from service.repository.version import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from service.inference.executor import JoiningExecutor
    from service.inference.signature import Signature, TensorSpec
    from service.repository.version import ModelVersion, VersionStatus

# Each class of error and its HTTP status; a subclass without a row has its parent's.
STATUS_OF: Final[Mapping[type[errors.HearthError], int]] = {
    errors.InvalidRequest: 400,
    errors.PayloadTooLarge: 413,
    errors.RequestTimeout: 408,
    errors.NotSupported: 501,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NotReady: 503,
    errors.Overloaded: 429,
    errors.DeadlineExceeded: 504,
    errors.InternalError: 500,
    # Met by whoever asks to load it: asking again does not help.
    errors.VersionRefused: 400,
}

EXTENSIONS: Final = (
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
)
SIGNATURE_PARAMETER: Final = "signature_name"
_SERVER: Final = "hearth"
# Triton's words, for clients that look them up.
_BACKEND: Final = "tensorflow"
_PLATFORM: Final = "tensorflow_savedmodel"
_STATES: Final[Mapping[State, str]] = {
    State.START: "LOADING",
    State.LOADING: "LOADING",
    State.AVAILABLE: "READY",
    State.UNLOADING: "UNLOADING",
    State.END: "UNAVAILABLE",
}
_MODEL: Final = r"/v2/models/([^/]+)(?:/versions/([^/]+))?"
_ROUTES: Final[Sequence[tuple[str, str, re.Pattern[str]]]] = (
    ("infer", "POST", re.compile(rf"{_MODEL}/infer")),
    ("live", "GET", re.compile(r"/v2/health/live")),
    ("ready", "GET", re.compile(r"/v2/health/ready")),
    ("server", "GET", re.compile(r"/v2/?")),
    ("models", "GET", re.compile(r"/v2/models")),
    # A model called "stats" has no metadata here, as in Triton.
    ("statistics", "GET", re.compile(r"/v2/models/stats")),
    ("statistics", "GET", re.compile(rf"{_MODEL}/stats")),
    ("model_ready", "GET", re.compile(rf"{_MODEL}/ready")),
    ("config", "GET", re.compile(rf"{_MODEL}/config")),
    ("metadata", "GET", re.compile(_MODEL)),
    ("index", "POST", re.compile(r"/v2/repository/index")),
    ("load", "POST", re.compile(r"/v2/repository/models/([^/]+)/load")),
    ("unload", "POST", re.compile(r"/v2/repository/models/([^/]+)/unload")),
)
_VERSION_NUMBER: Final = re.compile(r"[0-9]+", re.ASCII)
_MAX_VERSION: Final = 2**63 - 1
_MAX_DIGITS: Final = 100  # leading zeros count for nothing


@dataclass(frozen=True, slots=True)
class Route:
    """What a path below ``/v2`` asks for.

    Attributes:
        verb: One of the words of the table above.
        model: The model's name; empty where none is named.
        version: The version as the path has it; empty where it has none.
    """

    verb: str
    model: str = ""
    version: str = ""


@lru_cache(maxsize=256)
def parse_route(method: str, path: str) -> Route:
    """Read method and path.

    Args:
        method: The HTTP method.
        path: The path as it came, still percent-encoded.

    Raises:
        RouteNotFound: It is no route of the protocol.
    """
    for verb, wanted, pattern in _ROUTES:
        match = pattern.fullmatch(path) if method == wanted else None
        if match is not None:
            return Route(verb, *(unquote(it or "") for it in match.groups()))
    raise RouteNotFound(f"{method} {path} is not a route of Open Inference Protocol v2")


def parse_version(text: str) -> tuple[int | None, str | None]:
    """Number and label that a version's text stands for; neither if it is empty.

    Raises:
        InvalidRequest: The number is too large.
    """
    if not text:
        return None, None
    if not _VERSION_NUMBER.fullmatch(text):
        return None, text
    if len(text) > _MAX_DIGITS or int(text) > _MAX_VERSION:
        raise InvalidRequest(f"version {text[:32]} is over the limit {_MAX_VERSION}")
    return int(text), None


def encode_error(error: errors.HearthError) -> tuple[int, bytes]:
    """The HTTP status and body of an error."""
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    return status, json_body.encode({"error": error.message})


def default_signature(version: ModelVersion) -> str:
    """The signature that answers where none is named, and that metadata shows.

    It is ``serving_default``; a version that has another one alone answers with that.
    """
    names = list(version.executor.signatures)
    return names[0] if len(names) == 1 else DEFAULT_SIGNATURE


def signature_name(parameters: Mapping[str, Any], version: ModelVersion) -> str:
    """The signature that a request names, that of its level, or the default one.

    Raises:
        InvalidRequest: The parameter is no text, or the level is not known.
    """
    name = parameters.get(SIGNATURE_PARAMETER, "")
    if not isinstance(name, str):
        raise InvalidRequest(f"parameter {SIGNATURE_PARAMETER!r} is {name}, not text")
    return levels.signature_name(
        version, name or default_signature(version), parameters.get(levels.LEVEL)
    )


def server_metadata() -> dict[str, Any]:
    """What this server is."""
    return {"name": _SERVER, "version": VERSION, "extensions": list(EXTENSIONS)}


def model_metadata(version: ModelVersion, served: Iterable[int]) -> dict[str, Any]:
    """What a version takes and gives.

    Args:
        version: The version.
        served: Numbers of all versions of the model that are served.
    """
    name = default_signature(version)
    signature = version.signature(name)
    properties = {"signatures": ", ".join(sorted(version.executor.signatures))}
    features = version.feature_names(signature)
    if features:
        properties["features"] = ", ".join(features)
    if version.executor.joins:
        properties["joined"] = ", ".join(cast("JoiningExecutor", version.executor).joined)
    return {
        "name": version.model,
        "versions": [str(number) for number in sorted(served)],
        "platform": _PLATFORM,
        "inputs": [_tensor(name, spec) for name, spec in signature.inputs.items()],
        "outputs": [_tensor(name, spec) for name, spec in signature.outputs.items()],
        "properties": properties,
    }


def model_config(version: ModelVersion, limit_bytes: int) -> dict[str, Any]:
    """A version as Triton would have it configured, as far as clients read it.

    Args:
        version: The version.
        limit_bytes: The most that a request's body may have: so large a batch may be.
    """
    signature = version.signature(default_signature(version))
    rows = max_batch_size(signature, limit_bytes)
    return {
        "name": version.model,
        "platform": _PLATFORM,
        "backend": _BACKEND,
        "max_batch_size": rows,
        "input": [
            {**_configured(name, spec, rows), "optional": False}
            for name, spec in signature.inputs.items()
        ],
        "output": [_configured(name, spec, rows) for name, spec in signature.outputs.items()],
        "model_transaction_policy": {"decoupled": False},
        "response_cache": {"enable": False},
    }


def max_batch_size(signature: Signature, limit_bytes: int) -> int:
    """How many rows a request may have; 0 where its inputs and outputs do not all have rows."""
    specs = [*signature.inputs.values(), *signature.outputs.values()]
    if not signature.inputs or not all(it.shape and it.shape[0] == -1 for it in specs):
        return 0
    row_bytes = sum(_row_bytes(it) for it in signature.inputs.values())
    return min(limit_bytes // max(row_bytes, 1), 2**31 - 1)


def repository_index(
    statuses: Mapping[str, Iterable[VersionStatus]], problems: Mapping[str, str], *, ready: bool
) -> list[dict[str, str]]:
    """What models and versions there are.

    Args:
        statuses: Where the versions of each model stand.
        problems: Why models have no version that is served.
        ready: List those alone that are.
    """
    entries = [
        {
            "name": model,
            "version": str(it.version),
            "state": _STATES[it.state],
            "reason": it.error,
        }
        for model, versions in sorted(statuses.items())
        for it in versions
    ]
    entries += [
        {"name": model, "version": "", "state": "UNAVAILABLE", "reason": problem}
        for model, problem in sorted(problems.items())
        if not any(it["name"] == model for it in entries)
    ]
    return [it for it in entries if it["state"] == "READY"] if ready else entries


def _tensor(name: str, spec: TensorSpec) -> dict[str, Any]:
    # A shape of unknown rank has no form here; one open size is the nearest.
    shape = [-1] if spec.shape is None else list(spec.shape)
    return {"name": name, "datatype": datatype_of(spec), "shape": shape}


def _configured(name: str, spec: TensorSpec, rows: int) -> dict[str, Any]:
    described = _tensor(name, spec)
    datatype = described["datatype"]
    word = {BYTES: "STRING"}.get(datatype, datatype) if datatype in NUMPY else "INVALID"
    dims = described["shape"][1:] if rows else described["shape"]
    told = {"name": name, "data_type": f"TYPE_{word}", "dims": dims or [1]}
    # Triton's form for one value a row: it has no dims that are empty.
    return told if dims else {**told, "reshape": {"shape": []}}


def _row_bytes(spec: TensorSpec) -> int:
    dtype = NUMPY.get(datatype_of(spec))
    # Of a string nothing but its length in four bytes is sure.
    size = 4 if dtype is None or dtype.kind == "O" else dtype.itemsize
    return size * math.prod(it for it in (spec.shape or ())[1:] if it > 0)
