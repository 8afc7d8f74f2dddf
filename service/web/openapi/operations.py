"""The routes for people and for those who watch: page, health, metrics, this document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service.web.openapi.operation import answer, operation

if TYPE_CHECKING:
    from collections.abc import Sequence

TAG: Final = "Operations"
_LIVE: Final = {
    "type": "object",
    "properties": {"live": {"const": True}},
    "required": ["live"],
}
_READY: Final = {
    "type": "object",
    "properties": {
        "ready": {"type": "boolean"},
        "reason": {"type": "string"},
        "problems": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["ready"],
}
_INDEX: Final = {
    "type": "object",
    "properties": {
        "status": {"type": "string"},
        "server": {"type": "string"},
        "version": {"type": "string"},
        "protocols": {"type": "object"},
        "models": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["status", "server", "version", "models"],
}
_DOCUMENT: Final = {"type": "object", "required": ["openapi", "info", "paths"]}


def paths(metrics_paths: Sequence[str]) -> dict[str, Any]:
    """The routes.

    Args:
        metrics_paths: Where the metrics are to be had.
    """
    index = answer("Protocols, models and their documents.", _INDEX)
    index["content"]["text/html"] = {"schema": {"type": "string"}}
    ready = {"200": answer("Ready.", _READY), "503": answer("Not ready.", _READY)}
    made = {
        "/": _get("index", "What is here; the page for a browser.", {"200": index}),
        "/livez": _get("livez", "Whether the process answers.", {"200": answer("Yes.", _LIVE)}),
        "/readyz": _get("readyz", "Whether requests should be sent here.", ready),
        "/openapi.json": _get(
            "openapi", "This document.", {"200": answer("OpenAPI 3.1.", _DOCUMENT)}
        ),
    }
    return made | {path: _metrics(number, path) for number, path in enumerate(metrics_paths)}


def _get(identifier: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"get": operation(TAG, identifier, summary, responses)}


def _metrics(number: int, path: str) -> dict[str, Any]:
    text = {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return _get(f"metrics_{number}", f"Prometheus's metrics at {path}.", {"200": text})
