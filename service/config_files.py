"""TensorFlow Serving's small config files: monitoring, TLS, batching, TensorFlow's sessions.

The messages of the first three are not in the package that brings its API, so they are
described here.

References:
    tensorflow_serving/config/monitoring_config.proto and ssl_config.proto, and
    tensorflow_serving/servables/tensorflow/session_bundle_config.proto.
"""

from __future__ import annotations

import logging
import re
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from service.errors import InvalidRequest
from service.inference.batching_parameters import BatchingParameters
from service.messages import config_pb2

_DEFAULT_METRICS_PATH: Final = "/monitoring/prometheus/metrics"
_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]*")
_PACKAGE: Final = "hearth.config"
_METRICS: Final = "/metrics"
# What a key or certificate is that stands in a file of its own.
_FILE: Final = "file:"
_log: Final = logging.getLogger("hearth.config")


class _Kind(NamedTuple):
    """What a field holds.

    Attributes:
        number: protobuf's number of the type.
        message: Name of the message; empty for any other type.
        repeated: There may be several.
    """

    number: descriptor_pb2.FieldDescriptorProto.Type.ValueType
    message: str = ""
    repeated: bool = False


def _message_kind(name: str) -> _Kind:
    return _Kind(descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE, name)


_STRING: Final = _Kind(descriptor_pb2.FieldDescriptorProto.TYPE_STRING)
_BOOL: Final = _Kind(descriptor_pb2.FieldDescriptorProto.TYPE_BOOL)
_INT64: Final = _Kind(descriptor_pb2.FieldDescriptorProto.TYPE_INT64)
_OPTIONAL: Final = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
_REPEATED: Final = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED

_MESSAGES: Final = {
    "PrometheusConfig": {"enable": _BOOL, "path": _STRING},
    "MonitoringConfig": {"prometheus_config": _message_kind("PrometheusConfig")},
    "SSLConfig": {
        "server_key": _STRING,
        "server_cert": _STRING,
        "custom_ca": _STRING,
        "client_verify": _BOOL,
    },
    "Int64Value": {"value": _INT64},
    "BoolValue": {"value": _BOOL},
    "StringValue": {"value": _STRING},
    "BatchingParameters": {
        "max_batch_size": _message_kind("Int64Value"),
        "batch_timeout_micros": _message_kind("Int64Value"),
        "max_enqueued_batches": _message_kind("Int64Value"),
        "num_batch_threads": _message_kind("Int64Value"),
        "thread_pool_name": _message_kind("StringValue"),
        "allowed_batch_sizes": _INT64._replace(repeated=True),
        "pad_variable_length_inputs": _BOOL,
        "enable_large_batch_splitting": _message_kind("BoolValue"),
        "max_execution_batch_size": _message_kind("Int64Value"),
    },
}
_BATCHING_VALUES: Final = (
    "max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads",
    "enable_large_batch_splitting", "max_execution_batch_size",
)  # fmt: skip


@dataclass(frozen=True)
class Tls:
    """What a server needs for TLS.

    Attributes:
        key: The server's private key, PEM.
        certificate: Its certificate, PEM.
        authority: The certificate authority of the clients, PEM; empty for none.
        verify_client: Whether a client must show a certificate.
        files: The files that these were read from, where the config names files.
    """

    key: bytes
    certificate: bytes
    authority: bytes
    verify_client: bool
    files: tuple[Path, ...] = ()


def read_metrics_path(path: Path) -> str | None:
    """The path for TensorFlow Serving's metrics that a monitoring config asks for, or None.

    Raises:
        InvalidRequest: The file cannot be read, or is not one.
    """
    config = _read("--monitoring_config_file", path, "MonitoringConfig").prometheus_config
    if not config.enable:
        return None
    wanted = str(config.path or _DEFAULT_METRICS_PATH)
    if not _PATH.fullmatch(wanted):
        raise InvalidRequest(
            f"--monitoring_config_file: path is {wanted!r}, it must begin with / and have no other "
            "characters than A-Z a-z 0-9 . _ ~ - /"
        )
    return wanted


def metrics_paths(path: Path | None) -> list[str]:
    """Where the metrics are to be had.

    Args:
        path: A monitoring config that may name a further path; None for none.

    Raises:
        InvalidRequest: The file cannot be read, or is not one.
    """
    further = None if path is None else read_metrics_path(path)
    return [_METRICS] if further in {None, _METRICS} else [_METRICS, str(further)]


def read_tls(flag: str, path: Path) -> Tls:
    """What an SSL config asks for; ``file:PATH`` stands for what a file holds.

    Args:
        flag: The flag that names the file.
        path: The file.

    Raises:
        InvalidRequest: The file cannot be read, is not one, or lacks key or certificate.
    """
    config = _read(flag, path, "SSLConfig")
    if not config.server_key or not config.server_cert:
        raise InvalidRequest(f"{flag}: server_key and server_cert are both needed")
    if config.client_verify and not config.custom_ca:
        raise InvalidRequest(f"{flag}: client_verify needs custom_ca")
    given = (config.server_key, config.server_cert, config.custom_ca)
    key, certificate, authority = (_pem(flag, it) for it in given)
    files = tuple(Path(it.removeprefix(_FILE)) for it in given if it.startswith(_FILE))
    return Tls(key, certificate, authority, config.client_verify, files)


def _pem(flag: str, text: str) -> bytes:
    if not text.startswith(_FILE):
        return text.encode()
    path = Path(text.removeprefix(_FILE))
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{flag}: {path} cannot be read: {error.strerror}") from error


def read_session(path: Path | None, *, intra_op: int, inter_op: int) -> Any:
    """The ``ConfigProto`` of TensorFlow's sessions.

    Args:
        path: The file that says more than the numbers; None for none.
        intra_op: Threads on which one operation is split up; 0 for what the file says.
        inter_op: Threads on which operations run at once; 0 for what the file says.

    Raises:
        InvalidRequest: The file cannot be read, or is not one.
    """
    config = config_pb2.ConfigProto()
    if path is not None:
        config = _parse("--tensorflow_session_config_file", path, config)
    config.intra_op_parallelism_threads = intra_op or config.intra_op_parallelism_threads
    config.inter_op_parallelism_threads = inter_op or config.inter_op_parallelism_threads
    return config


def read_batching(place: str, path: Path) -> BatchingParameters:
    """How requests are joined, as a file says; what it leaves out has its default.

    Args:
        place: What names the file, for messages.
        path: The file.

    Raises:
        InvalidRequest: The file cannot be read, is not one, or a value makes no sense.
    """
    read = _read(place, path, "BatchingParameters")
    given = {name: getattr(read, name).value for name in _BATCHING_VALUES if read.HasField(name)}
    if given.get("max_execution_batch_size", 1) < 1:
        raise InvalidRequest(f"{place}: {path}: max_execution_batch_size must be at least 1")
    if read.pad_variable_length_inputs:
        _log.warning(
            "%s: pad_variable_length_inputs has no effect here: requests of unequal shapes are "
            "not joined", path,
        )  # fmt: skip
    try:
        return BatchingParameters(**given, allowed_batch_sizes=tuple(read.allowed_batch_sizes))
    except InvalidRequest as error:
        raise InvalidRequest(f"{place}: {path}: {error.message}") from error


def check_tls(flag: str, tls: Tls) -> None:
    """Make sure that key and certificates can be used, and belong together.

    Raises:
        InvalidRequest: They cannot, or do not.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # what is strong enough, gRPC's library decides
    try:
        _load_certificates(context, tls)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidRequest(f"{flag}: key and certificates cannot be used: {error}") from error


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What Python's TLS needs to serve HTTP/1.1.

    Raises:
        ssl.SSLError: Key and certificates cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificates(context, tls)
    context.set_alpn_protocols(["http/1.1"])
    if tls.verify_client:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_certificates(context: ssl.SSLContext, tls: Tls) -> None:
    with tempfile.NamedTemporaryFile() as file:  # readable for its owner alone
        file.write(tls.key + b"\n" + tls.certificate)
        file.flush()
        # Without a password the library would ask for one on the terminal.
        context.load_cert_chain(file.name, password=lambda: b"")
    if tls.authority:
        context.load_verify_locations(cadata=tls.authority.decode())


def _read(flag: str, path: Path, name: str) -> Any:
    return _parse(flag, path, _message(name))


def _parse(flag: str, path: Path, message: Any) -> Any:
    try:
        return text_format.Parse(path.read_text(), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InvalidRequest(f"{flag}: {path} cannot be used: {error}") from error


def _message(name: str) -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))()


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="hearth/config.proto", package=_PACKAGE)
    file.syntax = "proto3"
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            added = message.field.add(name=field, number=number, type=kind.number)
            added.label = _REPEATED if kind.repeated else _OPTIONAL
            if kind.message:
                added.type_name = f".{_PACKAGE}.{kind.message}"
    return file
