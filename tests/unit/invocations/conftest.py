"""A worker of fakes, asked as a lane asks it, without a socket."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.exchange import Exchange
from service.health import Health
from service.http.invocations import Invocations
from service.http.messages import Request, Response
from service.http.tensorflow_serving import TensorFlowServing
from service.http.vertex import Vertex
from service.repository.config import ModelConfig
from service.repository.repository import Repository
from service.settings import Settings
from tests.unit.service.fakes import Adder, Witness, version

LIMIT_BYTES = 4096


@dataclass
class Answered:
    """An answer, and what was noted of it."""

    response: Response
    exchange: Exchange

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def text(self) -> str:
        return self.response.body.decode()

    def json(self) -> Any:
        return json.loads(self.response.body)


@dataclass
class Api:
    """The routes of one worker, whichever protocol owns them."""

    models: dict[str, Adder]
    folder: Any
    described: bool = True
    knobs: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        for name, runner in self.models.items():
            (self.folder / name / ("1" if runner is not None else "")).mkdir(parents=True)
        configs = [ModelConfig(name, self.folder / name) for name in self.models]
        self.repository = Repository(configs, self._load, Witness())
        self.repository.poll()
        self.health = Health(self.repository)
        knobs = self.knobs
        self.apis = (
            Vertex(self.repository, self.health, knobs),
            Invocations(self.repository, self.health, LIMIT_BYTES, knobs.default_model),
            TensorFlowServing(self.repository, LIMIT_BYTES),
        )

    def _load(self, model, number, path):
        runner = self.models[model]
        return version(number, model=model, path=path, executor=runner, described=self.described)

    def ask(self, method: str, path: str, body: Any = b"", **headers: str) -> Answered:
        """Ask; a body that is no bytes is sent as JSON, and header names have ``_`` for ``-``."""
        given = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            given.setdefault("content-type", "application/json")
        request = Request(method, path, headers=given, body=body)
        exchange = Exchange("r-1", method, path, "10.0.0.7", 0.0)
        api = next(api for api in self.apis if api.owns(path))
        api.is_light(method, path, given)
        return Answered(api.answer(request, exchange), exchange)

    def invoke(self, body: Any, **headers: str) -> Answered:
        """Post to /invocations."""
        return self.ask("POST", "/invocations", body, **headers)


@pytest.fixture
def make_api(tmp_path):
    """From models (and settings) to the routes that serve them; None is a model without version."""

    def make(*, described: bool = True, models=None, **knobs) -> Api:
        runners = {"housing": Adder()} if models is None else models
        return Api(runners, tmp_path / "models", described, Settings(**knobs))

    return make


@pytest.fixture
def api(make_api) -> Api:
    """One model with a contract; its price is the sum of a row."""
    return make_api()
