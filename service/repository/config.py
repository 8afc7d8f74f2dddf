"""What is to be served: models, version policies, labels; as TensorFlow Serving's config file.

References:
    tensorflow_serving/config/model_server_config.proto;
    tensorflow_serving/sources/storage_path/file_system_storage_path_source.proto.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from google.protobuf import text_format

from service.errors import InvalidRequest
from service.messages import model_server_config_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PLATFORM: Final = "tensorflow"
# Types of a log_collector_config, and the form of file that each stands for.
COLLECTORS: Final = {
    "": "tfrecord", "file": "tfrecord", "tfrecord": "tfrecord", "parquet": "parquet",
}  # fmt: skip
# The same in the older field, and neither given.
_PLATFORMS: Final = frozenset({_PLATFORM, "TENSORFLOW", "MODEL_TYPE_UNSPECIFIED"})


@dataclass(frozen=True)
class Latest:
    """The newest versions that can be served.

    Attributes:
        num_versions: How many.
    """

    num_versions: int = 1

    def candidates(self, found: Iterable[int]) -> list[int]:
        """The versions to try, in this order."""
        return sorted(found, reverse=True)

    def is_enough(self, served: int) -> bool:
        """Whether so many versions served are all that is asked for."""
        return served >= self.num_versions


@dataclass(frozen=True)
class All:
    """Every version."""

    def candidates(self, found: Iterable[int]) -> list[int]:
        """The versions to try, in this order."""
        return sorted(found, reverse=True)

    def is_enough(self, _served: int) -> bool:
        """Whether so many versions served are all that is asked for."""
        return False


@dataclass(frozen=True)
class Specific:
    """These versions and no others.

    Attributes:
        versions: Their numbers.
    """

    versions: frozenset[int]

    def candidates(self, found: Iterable[int]) -> list[int]:
        """The versions to try, in this order."""
        return sorted(self.versions.intersection(found), reverse=True)

    def is_enough(self, _served: int) -> bool:
        """Whether so many versions served are all that is asked for."""
        return False


VersionPolicy: TypeAlias = Latest | All | Specific


@dataclass(frozen=True)
class ModelConfig:
    """One model to serve.

    Attributes:
        name: What callers call it.
        base_path: The folder of its versions.
        policy: Which of them.
        labels: Version numbers by label.
        logging: How its requests are to be logged, a ``LoggingConfig``; None for not at all.
    """

    name: str
    base_path: Path
    policy: VersionPolicy = Latest()
    labels: Mapping[str, int] = field(default_factory=dict)
    logging: Any = None


@dataclass(frozen=True)
class Logging:
    """How a model's config asks for its requests to be logged.

    Attributes:
        collector: What is to take them.
        prefix: What the files' names begin with.
        share: The share of requests, in [0, 1].
    """

    collector: str
    prefix: str
    share: float

    @property
    def problem(self) -> str:
        """Why it cannot be done; empty if it can."""
        if self.collector not in COLLECTORS:
            known = ", ".join(filter(None, COLLECTORS))
            return f"log_collector_config has type {self.collector!r}; known: {known}"
        if not self.prefix:
            return "log_collector_config has no filename_prefix"
        if not 0 <= self.share <= 1:
            return f"sampling_rate is {self.share:g}, outside [0, 1]"
        return ""


def read_logging(config: ModelConfig) -> Logging | None:
    """What a model's ``logging_config`` asks for; None for nothing."""
    if config.logging is None:
        return None
    collector = config.logging.log_collector_config
    rate = config.logging.sampling_config.sampling_rate
    return Logging(collector.type, collector.filename_prefix, rate)


def parse_config(text: str) -> list[ModelConfig]:
    """Read a ``ModelServerConfig`` in text form.

    Raises:
        InvalidRequest: It is not one, or asks for something that makes no sense.
    """
    try:
        message = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        raise InvalidRequest(
            f"Error parsing text-format tensorflow.serving.ModelServerConfig: {error}"
        ) from error
    return from_message(message)


def parse_change(text: str) -> list[ModelConfig]:
    """Read what a service that runs is to follow: an empty file is one that is being written.

    Raises:
        InvalidRequest: As ``parse_config``; or it asks for nothing at all.
    """
    configs = parse_config(text)
    if not configs and "model_config_list" not in text:
        raise InvalidRequest("it says nothing; model_config_list {} stands for no models")
    return configs


def from_message(message: model_server_config_pb2.ModelServerConfig) -> list[ModelConfig]:
    """Read a ``ModelServerConfig``.

    Raises:
        InvalidRequest: It asks for something that makes no sense.
    """
    if message.WhichOneof("config") == "custom_model_config":
        raise InvalidRequest("custom_model_config is not supported; use model_config_list")
    configs = [_model(it) for it in message.model_config_list.config]
    names = [config.name for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(f"Illegal to list model {name} multiple times in config list")
    return configs


def to_text(configs: Sequence[ModelConfig]) -> str:
    """Write a ``ModelServerConfig`` in text form."""
    message = model_server_config_pb2.ModelServerConfig()
    message.model_config_list.SetInParent()
    for config in configs:
        entry = message.model_config_list.config.add(
            name=config.name, base_path=str(config.base_path), model_platform=_PLATFORM
        )
        _write_policy(entry.model_version_policy, config.policy)
        for label, number in config.labels.items():
            entry.version_labels[label] = number
        if config.logging is not None:
            entry.logging_config.CopyFrom(config.logging)
    return str(text_format.MessageToString(message))


def _model(entry: Any) -> ModelConfig:
    if not entry.name:
        raise InvalidRequest("a model has no name")
    if not entry.base_path:
        raise InvalidRequest(f"model {entry.name} has no base_path")
    if "://" in entry.base_path:
        raise InvalidRequest(
            f"model {entry.name} has base_path {entry.base_path!r}; only folders can be read"
        )
    platform = entry.model_platform or model_server_config_pb2.ModelType.Name(entry.model_type)
    if platform not in _PLATFORMS:
        raise InvalidRequest(f"model {entry.name} has platform {platform!r}; known: {_PLATFORM}")
    return ModelConfig(
        name=entry.name,
        base_path=Path(entry.base_path),
        policy=_policy(entry),
        labels=dict(entry.version_labels),
        logging=entry.logging_config if entry.HasField("logging_config") else None,
    )


def _policy(entry: Any) -> VersionPolicy:
    policy = entry.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return All()
    if kind == "specific":
        if not policy.specific.versions:
            raise InvalidRequest(f"model {entry.name}: a specific policy needs versions")
        return Specific(frozenset(policy.specific.versions))
    # As there, latest without a number means the latest one.
    return Latest(policy.latest.num_versions or 1)


def _write_policy(message: Any, policy: VersionPolicy) -> None:
    if isinstance(policy, All):
        message.all.SetInParent()
    elif isinstance(policy, Specific):
        message.specific.versions.extend(sorted(policy.versions))
    else:
        message.latest.num_versions = policy.num_versions
