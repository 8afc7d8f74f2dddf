"""TensorFlow Serving's small config files: monitoring and TLS.

Their messages are not in the package that brings its API, so they are described here.

References:
    tensorflow_serving/config/monitoring_config.proto and ssl_config.proto.
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from service.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

_DEFAULT_METRICS_PATH: Final = "/monitoring/prometheus/metrics"
_PACKAGE: Final = "hearth.config"
_STRING: Final = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_BOOL: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BOOL
_MESSAGE: Final = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE

_MESSAGES: Final = {
    "PrometheusConfig": {"enable": _BOOL, "path": _STRING},
    "MonitoringConfig": {"prometheus_config": _MESSAGE},
    "SSLConfig": {
        "server_key": _STRING,
        "server_cert": _STRING,
        "custom_ca": _STRING,
        "client_verify": _BOOL,
    },
}


@dataclass(frozen=True)
class Tls:
    """What gRPC over TLS needs.

    Attributes:
        key: The server's private key, PEM.
        certificate: Its certificate, PEM.
        authority: The certificate authority of the clients, PEM; empty for none.
        verify_client: Whether a client must show a certificate.
    """

    key: bytes
    certificate: bytes
    authority: bytes
    verify_client: bool


def read_metrics_path(path: Path) -> str | None:
    """The further path for metrics that a monitoring config asks for, or None.

    Raises:
        InvalidRequest: The file cannot be read, or is not one.
    """
    config = _read("--monitoring_config_file", path, "MonitoringConfig").prometheus_config
    if not config.enable:
        return None
    wanted = str(config.path or _DEFAULT_METRICS_PATH)
    if not wanted.startswith("/"):
        raise InvalidRequest(f"--monitoring_config_file: path is {wanted!r}, it must begin with /")
    return wanted


def read_tls(path: Path) -> Tls:
    """What an SSL config asks for.

    Raises:
        InvalidRequest: The file cannot be read, is not one, or lacks key or certificate.
    """
    config = _read("--ssl_config_file", path, "SSLConfig")
    if not config.server_key or not config.server_cert:
        raise InvalidRequest("--ssl_config_file: server_key and server_cert are both needed")
    if config.client_verify and not config.custom_ca:
        raise InvalidRequest("--ssl_config_file: client_verify needs custom_ca")
    return Tls(
        key=config.server_key.encode(),
        certificate=config.server_cert.encode(),
        authority=config.custom_ca.encode(),
        verify_client=config.client_verify,
    )


def check_tls(tls: Tls) -> None:
    """Make sure that key and certificates can be used, and belong together.

    Raises:
        InvalidRequest: They cannot, or do not.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # what is strong enough, gRPC's library decides
    with tempfile.NamedTemporaryFile() as file:  # readable for its owner alone
        file.write(tls.key + b"\n" + tls.certificate)
        file.flush()
        try:
            # Without a password the library would ask for one on the terminal.
            context.load_cert_chain(file.name, password=lambda: b"")
            if tls.authority:
                context.load_verify_locations(cadata=tls.authority.decode())
        except (ssl.SSLError, ValueError) as error:
            raise InvalidRequest(
                f"--ssl_config_file: key and certificates cannot be used: {error}"
            ) from error


def _read(flag: str, path: Path, name: str) -> Any:
    try:
        return text_format.Parse(path.read_text(), _message(name))
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
            added = message.field.add(name=field, number=number, type=kind)
            added.label = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
            if kind == _MESSAGE:
                added.type_name = f".{_PACKAGE}.PrometheusConfig"
    return file
