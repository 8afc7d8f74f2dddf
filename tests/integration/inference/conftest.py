"""Models of every kind, and services that serve them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from service.messages import prediction_service_pb2_grpc
from tests import models
from tests.servers import Server, free_port, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Both:
    """A service with its two transports.

    Attributes:
        rest: REST.
        stub: gRPC.
        folder: Where the models lie.
    """

    rest: Server
    stub: Any
    folder: Path

    def version(self, model: str) -> Path:
        """The folder of a model's only version."""
        return self.folder / model / "1"


@pytest.fixture(scope="session")
def zoo(tmp_path_factory) -> Path:
    """A folder with a model of each kind, version 1. Not to be changed."""
    folder = tmp_path_factory.mktemp("zoo")
    for make in (
        models.half_plus_two_tf1,
        models.half_plus_two_tf2,
        models.plain_half_plus_two,
        models.several,
        models.texts,
        models.counter,
        models.dice,
        models.types,
        models.shapes,
        models.embedding,
        models.network,
    ):
        make(folder / make.__name__ / "1")
    models.vocabulary(folder / "vocabulary" / "1", tmp_path_factory.mktemp("words") / "words")
    models.litert(
        folder / "network" / "1", folder / "bare" / "1" / "model.tflite", "serving_default"
    )
    models.unsigned_litert(folder / "unsigned" / "1" / "model.tflite")
    return folder


def write_config(path: Path, zoo: Path, *names: str) -> Path:
    """A ModelServerConfig with these models."""
    entries = "\n".join(
        f'config {{ name: "{name}" base_path: "{zoo / name}" model_platform: "tensorflow" }}'
        for name in names
    )
    path.write_text(f"model_config_list {{\n{entries}\n}}\n")
    return path


def serving(zoo: Path, config: Path, **flags: object) -> Iterator[Both]:
    """A service of the models that a config names."""
    port = free_port()
    with (
        running_service(zoo, model_config_file=config, port=port, **flags) as server,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        yield Both(server, stub, zoo)


@pytest.fixture(scope="session")
def by_tensorflow(zoo, tmp_path_factory) -> Iterator[Both]:
    """All SavedModels, served by TensorFlow."""
    names = sorted(it.name for it in zoo.iterdir() if (it / "1" / "saved_model.pb").exists())
    config = write_config(tmp_path_factory.mktemp("config") / "models.conf", zoo, *names)
    yield from serving(zoo, config, executor="tensorflow")


@pytest.fixture(scope="session")
def by_litert(zoo, tmp_path_factory) -> Iterator[Both]:
    """What LiteRT can run, in two workers; conversions are made for the occasion."""
    folder = tmp_path_factory.mktemp("litert")
    config = write_config(folder / "models.conf", zoo, "network", "bare", "unsigned", "embedding")
    yield from serving(zoo, config, workers=2, conversion_cache=folder / "cache")
