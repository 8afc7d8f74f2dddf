"""The addresses of a fleet's servers."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def target(servers: Sequence[str]) -> str:
    """What gRPC calls the servers: one name with all its addresses, or several addresses."""
    if len(servers) == 1:
        return f"dns:///{servers[0]}"
    kind = "ipv6" if servers[0].startswith("[") else "ipv4"
    return f"{kind}:{','.join(servers)}"


def check_servers(servers: Sequence[str]) -> str:
    """Why servers cannot be asked; empty if they can."""
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= 65535:
            return f"has {server!r}, expected host:port"
    versions = {_version(it) for it in servers}
    if len(servers) > 1 and (0 in versions or len(versions) > 1):
        return (
            "has several servers that are not addresses of one kind: give them as 127.0.0.1:8500, "
            "or one name that stands for all"
        )
    return ""


def _version(server: str) -> int:
    """4 or 6 of an address, 0 of a name."""
    host = server.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return 0
