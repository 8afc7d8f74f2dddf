"""A server that works, without a socket, and a clock that only moves when told to."""

from __future__ import annotations

import json
import re
from collections import deque

import pytest

from client import Client, Response

NAMES = ("RM", "AGE", "LSTAT")
TRAINING = {"minimum": 0, "maximum": 9, "mean": 5, "std": 1, "median": 5, "deciles": [0] * 11}


class FakeClock:
    """Time that passes only by sleeping."""

    def __init__(self):
        self.time = 100.0
        self.slept = []

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds


class FakeHearth:
    """A transport with a whole server behind it: its price is RM * 4 - AGE - LSTAT / 2.

    ``next`` holds what the coming requests get instead: a Response or an exception.
    """

    def __init__(self):
        self.next = deque()
        self.requests = []
        self.names = NAMES
        self.versions = {2: "END", 3: "AVAILABLE"}
        self.describes = True
        self.upper = 100
        self.metrics = ""

    def send(self, request):
        self.requests.append(request)
        if self.next:
            answer = self.next.popleft()
            if isinstance(answer, Exception):
                raise answer
            return answer
        if self.metrics and request.url.endswith("/metrics"):
            return Response(200, {}, self.metrics.encode())
        status, document = self.answer(request)
        return Response(status, {"x-request-id": "abc"}, json.dumps(document).encode())

    @property
    def bodies(self):
        return [json.loads(request.body) for request in self.requests if request.body]

    @property
    def paths(self):
        return [request.url.removeprefix("http://127.0.0.1:8501") for request in self.requests]

    @property
    def serving(self):
        return max(number for number, state in self.versions.items() if state == "AVAILABLE")

    def answer(self, request):
        path = re.sub(r"^https?://[^/]+", "", request.url)
        if request.method == "POST" and path.endswith(":explain"):
            return self.explain(path, json.loads(request.body)["instances"])
        if request.method == "POST":
            document = json.loads(request.body)
            status, answer = self.predict(path, document["instances"])
            return (status, answer) if status != 200 else self.bounded(answer, document)
        plain = {"/v1/models": {"models": ["housing"]}, "/readyz": {"status": "ok"}}
        if self.describes and path in plain:
            return 200, plain[path]
        found = re.fullmatch(r"/v1/models/housing(/versions/(\d+))?(/labels/best)?(/\w+)?", path)
        if found is None:
            return 404, {"error": f"no such thing: {path}"}
        version = int(found[2] or self.serving)
        if version not in self.versions:
            return 404, {"error": f"Could not find version {version} of model housing"}
        return self.describe(found[4], version)

    def describe(self, what, version):
        if what == "/contract":
            if not self.describes:
                return 400, {"error": "Malformed request: GET /contract"}
            return 200, self.contract()
        if what == "/metadata":
            return 200, {"model_spec": {"name": "housing", "version": str(version)}}
        entries = [
            {"version": str(number), "state": state, "status": {"error_message": ""}}
            for number, state in sorted(self.versions.items(), reverse=True)
        ]
        return 200, {"model_version_status": entries}

    def predict(self, path, instances):
        found = re.fullmatch(r"/v1/models/housing(?:/versions/(\d+)|/labels/(best))?:predict", path)
        if found is None or self.versions.get(int(found[1] or self.serving)) != "AVAILABLE":
            return 404, {"error": "Servable not found for request"}
        prices = []
        for i, instance in enumerate(instances):
            row = (
                [instance.get(name) for name in self.names]
                if isinstance(instance, dict)
                else instance
            )
            for name, value in zip(self.names, row, strict=True):
                if not isinstance(value, int | float) or not 0 <= value <= self.upper:
                    message = f"instances[{i}].{name} is {value}, outside [0, {self.upper}]"
                    return 400, {"error": message}
            house = dict(zip(self.names, row, strict=True))
            prices.append(house["RM"] * 4 - house["AGE"] - house["LSTAT"] / 2)
        return 200, {"predictions": prices}

    def explain(self, path, instances):
        """Beside houses of fives, whose mean price is 12.5; none has been trained on above 9."""
        status, document = self.predict(path.replace(":explain", ":predict"), instances)
        if status != 200:
            return status, document
        weights = dict(zip(NAMES, (4, -1, -0.5), strict=True))
        explanations = []
        for instance, price in zip(instances, document["predictions"], strict=True):
            row = instance.values() if isinstance(instance, dict) else instance
            house = instance if isinstance(instance, dict) else dict(zip(NAMES, row, strict=True))
            outside = [
                {"feature": name, "value": value, "minimum": 0, "maximum": 9, "by": value - 9}
                for name, value in house.items()
                if value > 9
            ]
            explanations.append(
                {
                    "base": 12.5,
                    "price": price,
                    "contributions": {it: (house[it] - 5) * weights[it] for it in NAMES},
                    "error": 0.0,
                    "outside": [it | {"deviations": it["by"]} for it in outside],
                    "unusual": {"distance": 3, "limit": 1.5, "false_alarms": 0.01}
                    if len(outside) > 1
                    else None,
                    "something_new": 1,
                }
            )
        return 200, document | {"explanations": explanations}

    def bounded(self, answer, document):
        """With a level, each price with bounds as far off as the level has percents."""
        level = document.get("level")
        if level is None or not self.describes:
            return 200, answer
        if level not in (0.8, 0.9, 0.95):
            return 400, {"error": f"level is {level}, known: 0.8, 0.9, 0.95"}
        reach = level * 100
        return 200, {
            "predictions": [
                {"lower": it - reach, "price": it, "upper": it + reach}
                for it in answer["predictions"]
            ]
        }

    def contract(self):
        def column(name):
            limits = {"minimum": 0, "maximum": self.upper}
            return {"name": name, "meaning": name, "unit": "u", "training": TRAINING, **limits}

        return {
            "format": 1,
            "model": "housing",
            "features": [column(name) for name in self.names],
            "target": {
                "name": "MEDV",
                "meaning": "median price",
                "unit": "thousand USD",
                "training": TRAINING,
            },
            "output": "price",
            "metrics": {"test": {"network": {"mse": 24.0, "mae": 3.25}}},
            "something_new": 1,
        }


@pytest.fixture
def hearth():
    return FakeHearth()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def client(hearth, clock):
    return Client(transport=hearth, clock=clock, chunk_rows=2)
