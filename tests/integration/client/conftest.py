"""A small real server on a free port that speaks as Hearth does, and can misbehave."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
NAMES = ("RM", "AGE", "LSTAT")
SPREAD = {"minimum": 0, "maximum": 9, "mean": 5, "std": 1, "median": 5, "deciles": [0] * 11}


def price(rm, age, lstat):
    """What this server's house costs: 6.142, 91.7, 18.72 is 6.142 * 4 - 0.917 - 9.36."""
    return rm * 4 - age * 0.01 - lstat * 0.5


def contract():
    units = {"RM": "rooms", "AGE": "%", "LSTAT": "%"}
    return {
        "format": 1,
        "model": "housing",
        "features": [
            {
                "name": name,
                "meaning": f"the {name}",
                "unit": units[name],
                "minimum": 0,
                "maximum": 100,
                "training": SPREAD,
            }
            for name in NAMES
        ],
        "target": {
            "name": "MEDV",
            "meaning": "median price",
            "unit": "thousand USD",
            "training": SPREAD,
        },
        "input": "features",
        "output": "price",
        "metrics": {"test": {"network": {"mse": 24.0, "mae": 3.32, "r2": 0.71}}},
    }


@dataclass
class Server:
    """A running server: what it saw, and what it is to do next.

    Attributes:
        next: For the coming requests: a status with headers, "drop" or "hang"; one a
            request, then all is well.
        requests: Method and path of every request.
        connections: How many were opened.
        version: Which version it says it serves.
        describes: Whether it has contracts, lists of models and probes, as TensorFlow
            Serving has not.
        allowed: How many predict requests it answers at all; None: every one.
    """

    next: deque = field(default_factory=deque)
    requests: list = field(default_factory=list)
    connections: int = 0
    version: int = 3
    describes: bool = True
    allowed: int | None = None
    released: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    @property
    def predicts(self):
        return [path for method, path in self.requests if method == "POST"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        self.server.state.connections += 1
        super().setup()

    def log_message(self, *_args):
        pass

    def do_GET(self):
        state = self.server.state
        self.serve(lambda: answer_get(state, self.path))

    def do_POST(self):
        state = self.server.state
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.serve(lambda: answer_post(state, self.path, json.loads(body)))

    def serve(self, answer):
        state = self.server.state
        state.requests.append((self.command, self.path))
        trouble = state.next.popleft() if state.next else None
        if trouble == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif trouble == "hang":
            state.released.wait(60)
            self.close_connection = True
        elif trouble is not None:
            status, headers = trouble
            self.write(status, {"error": f"told to answer {status}"}, headers)
        else:
            self.write(*answer())

    def write(self, status, document, headers=None):
        body = (document if isinstance(document, str) else json.dumps(document)).encode()
        self.send_response(status)
        for name, value in {"X-Request-Id": "req-1", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def answer_get(state, path):
    routes = {"/livez": {"status": "ok"}, "/readyz": {"status": "ok"}}
    routes["/v1/models"] = {"models": ["housing"]}
    labelled = f'label="stable",model="housing",version="{state.version}"'
    routes["/metrics"] = f"hearth_model_label_workers{{{labelled}}} 1\n"
    for base in ("/v1/models/housing", f"/v1/models/housing/versions/{state.version}"):
        routes[f"{base}/contract"] = contract()
    if not state.describes:
        routes = {}
        if path.endswith("/contract") or path == "/v1/models":
            return 400, {"error": f"Malformed request: GET {path}"}
    for base in ("/v1/models/housing", f"/v1/models/housing/versions/{state.version}"):
        routes[base] = {
            "model_version_status": [
                {
                    "version": str(state.version),
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ]
        }
        spec = {"name": "housing", "signature_name": "", "version": str(state.version)}
        routes[f"{base}/metadata"] = {"model_spec": spec, "metadata": {"signature_def": {}}}
    if path in routes:
        return 200, routes[path]
    return 404, {"error": f"nothing at {path}"}


def answer_post(state, path, document):
    found = re.fullmatch(
        r"/v1/models/housing(/versions/(\d+)|/labels/\w+)?:(predict|explain)", path
    )
    if found is None or found[2] not in (None, str(state.version)):
        return 404, {"error": f"Servable not found for request: {path}"}
    if state.allowed is not None and len(state.predicts) > state.allowed:
        state.stalled.set()
        state.released.wait(60)
    status, answer = predictions(document["instances"])
    if status == 200 and found[3] == "explain":
        answer["explanations"] = [explanation(*it) for it in document_rows(document, answer)]
    if status != 200 or "level" not in document:
        return status, answer
    bounded = [{"price": it, "lower": it - 5, "upper": it + 5} for it in answer["predictions"]]
    return 200, {"predictions": bounded}


def document_rows(document, answer):
    return zip(document["instances"], answer["predictions"], strict=True)


def explanation(house, worth):
    """Beside a house of 6 rooms, of age 70 and status 12."""
    mean = {"RM": 6, "AGE": 70, "LSTAT": 12}
    house = house if isinstance(house, dict) else dict(zip(NAMES, house, strict=True))
    base = price(*mean.values())
    alone = {
        name: price(**{it.lower(): (mean | {name: house[name]})[it] for it in NAMES})
        for name in NAMES
    }
    return {
        "base": base,
        "price": worth,
        "contributions": {name: it - base for name, it in alone.items()},
        "error": 0.0,
        "outside": [],
        "unusual": None,
    }


def predictions(instances):
    prices = []
    for i, instance in enumerate(instances):
        row = [instance[n] for n in NAMES] if isinstance(instance, dict) else instance
        for name, value in zip(NAMES, row, strict=True):
            if not 0 <= value <= 100:
                return 400, {"error": f"instances[{i}].{name} is {value}, outside [0, 100]"}
        prices.append(price(*row))
    return 200, {"predictions": prices}


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A killed client is part of the tests, not news."""


@pytest.fixture
def server():
    state = Server()
    http = _HttpServer(("127.0.0.1", 0), Handler)
    http.state = state
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.released.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def environ(server):
    """The environment of a process that asks this server."""
    return {**os.environ, "HEARTH_URL": server.url, "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture
def command():
    return [sys.executable, "-m", "client"]
