"""What kubectl asks a cluster's API server before it sends anything: kinds, schemas, and objects.

It is empty, knows the kinds that the manifests are made of, and takes nothing. So whatever is asked
beyond what ``kubectl apply --dry-run=client`` may ask is refused, and stands in ``asked``.

References:
    https://kubernetes.io/docs/concepts/overview/kubernetes-api: discovery, OpenAPI.
    openapi.v2.Document, the message in which kubectl asks for schemas: its fields' numbers.
"""

from __future__ import annotations

import contextlib
import functools
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import kubernetes_validate
import yaml

from tests.servers import in_a_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
_KIND = "x-kubernetes-group-version-kind"
_OPENAPI = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


class Kind(NamedTuple):
    """A kind of resource, as discovery tells it."""

    api: str
    name: str
    plural: str


KINDS = (
    Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Kind("v1", "Service", "services"),
    Kind("v1", "ServiceAccount", "serviceaccounts"),
    Kind("apps/v1", "Deployment", "deployments"),
    Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Kind("batch/v1", "CronJob", "cronjobs"),
    Kind("batch/v1", "Job", "jobs"),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules"),
    Kind("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors"),
    Kind("serving.kserve.io/v1alpha1", "ServingRuntime", "servingruntimes"),
    Kind("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices"),
)


class ApiServer(ThreadingHTTPServer):
    """An API server of one version.

    Attributes:
        asked: Method and path of what was asked for, in order.
    """

    daemon_threads = True

    def __init__(self, version: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.version = version
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self._note()
        told = _discovery(self.server.version).get(path)
        if path == "/openapi/v2":
            self._say(200, openapi(self.server.version), _OPENAPI)
        elif told is not None:
            self._say(200, json.dumps(told).encode())
        else:
            self._fail(404, "NotFound")

    def _refuse(self) -> None:
        self._note()
        self._fail(405, "MethodNotAllowed")

    do_POST = do_PUT = do_PATCH = do_DELETE = _refuse  # noqa: N815 - as http.server asks

    def _note(self) -> str:
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path))
        return path

    def _fail(self, status: int, reason: str) -> None:
        told = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason}
        self._say(status, json.dumps(told | {"code": status}).encode())

    def _say(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """What was asked stands in ``asked``."""


@contextlib.contextmanager
def running_api_server(version: str) -> Iterator[ApiServer]:
    """Run one."""
    server = ApiServer(version)
    with in_a_thread(server):
        yield server


@functools.cache
def _discovery(version: str) -> dict[str, Any]:
    """Documents by path."""
    major, minor = version.split(".")[:2]
    apis = {it.api for it in KINDS}
    groups = sorted({it.partition("/")[0] for it in apis if "/" in it})
    return {
        "/version": {"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(it, apis) for it in groups],
        },
        **{f"/{'apis' if '/' in it else 'api'}/{it}": _resources(it) for it in apis},
    }


def _group(name: str, apis: set[str]) -> dict[str, Any]:
    versions = [
        {"groupVersion": it, "version": it.partition("/")[2]}
        for it in sorted(apis)
        if it.partition("/")[0] == name
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[-1]}


def _resources(api: str) -> dict[str, Any]:
    verbs = ["create", "delete", "get", "list", "patch", "update"]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api,
        "resources": [
            {"name": it.plural, "kind": it.name, "namespaced": True, "verbs": verbs}
            for it in KINDS
            if it.api == api
        ],
    }


@functools.cache
def openapi(version: str) -> bytes:
    """The schemas of a version as an ``openapi.v2.Document``.

    It has no paths, so that nothing says that the server would check fields itself: kubectl does.
    """
    path = _SCHEMAS / f"v{version}.0-local" / "_definitions.json"
    definitions = json.loads(path.read_text())["$defs"]
    schemas = [_field(1, _named(name, _schema(it))) for name, it in definitions.items()]
    return _text(1, "2.0") + _field(9, b"".join(schemas))


def _schema(schema: Mapping[str, Any]) -> bytes:
    """``openapi.v2.Schema``: what says which fields there are, and of which type."""
    if "$ref" in schema:
        return _text(1, "#/definitions/" + schema["$ref"].rpartition("/")[2])
    kind = schema.get("type", ())
    more, items = schema.get("additionalProperties"), schema.get("items")
    properties = schema.get("properties", {}).items()
    return b"".join(
        (
            *(_text(19, it) for it in schema.get("required", ())),
            *([_field(21, _field(1, _schema(more)))] if isinstance(more, dict) else []),
            *(_field(22, _text(1, it)) for it in _types(kind)),
            *([_field(23, _field(1, _schema(items)))] if items else []),
            *[_field(25, _field(1, _named(name, _schema(it)))) for name, it in properties],
            *([_field(31, _kind(schema[_KIND]))] if _KIND in schema else []),
        )
    )


def _types(kind: str | list[str]) -> list[str]:
    return [kind] if isinstance(kind, str) else [it for it in kind if it != "null"]


def _kind(value: Any) -> bytes:
    """``openapi.v2.NamedAny``: the extension by which a schema tells its kind."""
    return _named(_KIND, _text(2, yaml.safe_dump(value)))


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _field(2, value)


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, content: bytes) -> bytes:
    """A field of protobuf's wire format that tells its length."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    head, tail = value >> 7, value & 0x7F
    return bytes([tail | 0x80]) + _varint(head) if head else bytes([tail])
