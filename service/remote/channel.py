"""The way to the servers: addresses, TLS, and what gRPC itself does about servers that fail.

References:
    github.com/grpc/grpc/blob/master/doc/service_config.md, and PROTOCOL-HTTP2.md (metadata);
    grpc/proposal A6 (retries) and A17 (health checking by the client).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
import msgspec

from service.errors import InvalidRequest
from service.remote.addresses import target

if TYPE_CHECKING:
    from collections.abc import Sequence

_FLAG: Final = "--remote_config_file"
_NAME: Final = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)", re.ASCII)

# A prediction may be asked for twice. UNAVAILABLE: nobody was reached, or the connection ended.
# CANCELLED: the server had just begun to stop. NOT_FOUND: this server has not the version, which
# another one has. Half the tokens may be spent at once, then one for ten answers.
_SERVICE_CONFIG: Final = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
    "retryThrottling": {"maxTokens": 200, "tokenRatio": 0.1},
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED", "NOT_FOUND"],
            },
        }
    ],
}
_OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # Found out at the address alone: what a proxy says of these servers is not asked for.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A server that is frozen answers no ping: its connection ends, and its calls go elsewhere.
    ("grpc.keepalive_time_ms", 3000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.http2.ping_timeout_ms", 1000),
    # A server that comes back is found soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Channels to the same address would share a connection otherwise, and how it fares.
    ("grpc.use_local_subchannel_pool", 1),
)


class RemoteConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the servers are asked; what ``--remote_config_file`` holds, as JSON.

    Attributes:
        authority_file: The certificate authority of the servers, PEM; asks for TLS.
        certificate_file: The certificate that this service shows them, PEM.
        key_file: Its private key, PEM.
        server_name: The name in the servers' certificates, where it is not that of the address.
        metadata: What is sent along with each call, such as ``authorization``.
    """

    authority_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    server_name: str = ""
    metadata: dict[str, str] = {}


@dataclass(frozen=True)
class Access:
    """How the servers are asked, with what the files held.

    Attributes:
        authority: The servers' certificate authority; empty for no TLS.
        certificate: Our own certificate; empty for none.
        key: Its key.
        server_name: The name in the servers' certificates; empty for that of the address.
        metadata: What is sent along with each call.
    """

    authority: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    server_name: str = ""
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def read_access(path: Path | None) -> Access:
    """Read ``--remote_config_file``; None for plain text and nothing sent along.

    Raises:
        InvalidRequest: It cannot be read, or does not go together.
    """
    if path is None:
        return Access()
    try:
        config = msgspec.json.decode(path.read_bytes(), type=RemoteConfig)
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidRequest(f"{_FLAG}: {path} cannot be used: {error}") from error
    if bool(config.certificate_file) != bool(config.key_file):
        raise InvalidRequest(f"{_FLAG}: certificate_file and key_file go together")
    if (config.certificate_file or config.server_name) and not config.authority_file:
        raise InvalidRequest(f"{_FLAG}: authority_file is missing, without which there is no TLS")
    return Access(
        _pem(config.authority_file),
        _pem(config.certificate_file),
        _pem(config.key_file),
        config.server_name,
        tuple(_pair(name, value) for name, value in config.metadata.items()),
    )


def open_channel(servers: Sequence[str], access: Access) -> grpc.Channel:
    """A channel that shares calls out among servers; connections are made when they are needed."""
    options = [*_OPTIONS]
    if access.server_name:
        options.append(("grpc.ssl_target_name_override", access.server_name))
    if not access.authority:
        return grpc.insecure_channel(target(servers), options)
    credentials = grpc.ssl_channel_credentials(
        access.authority, access.key or None, access.certificate or None
    )
    return grpc.secure_channel(target(servers), credentials, options)


def _pair(name: str, value: str) -> tuple[str, str]:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{_FLAG}: metadata {name!r} must be of a-z, 0-9, '.', '_' and '-', and neither begin "
            "with grpc- nor end with -bin, which are gRPC's own"
        )
    if not (value.isascii() and value.isprintable()):
        raise InvalidRequest(f"{_FLAG}: metadata {name!r} must be one line of ASCII")
    return name, value


def _pem(path: str) -> bytes:
    try:
        return Path(path).read_bytes() if path else b""
    except OSError as error:
        raise InvalidRequest(f"{_FLAG}: {path} cannot be read: {error.strerror}") from error
