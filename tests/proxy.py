"""The compose stack's proxy, before services that run as processes of this machine."""

from __future__ import annotations

import contextlib
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.servers import ROOT, Server, free_port, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

CONFIG = ROOT / "deploy" / "haproxy" / "haproxy.cfg"


def at_places(places: Sequence[tuple[int, int]]) -> Callable[[int, int], str]:
    """The proxy's own configuration, but for where it listens and where services are.

    Args:
        places: Ports for REST and gRPC of every service that there may be.

    Returns:
        From the proxy's ports for REST and gRPC to its configuration.
    """
    return lambda rest, grpc: _fixed(_listening(rest, grpc), places)


def _fixed(text: str, places: Sequence[tuple[int, int]]) -> str:
    text = re.sub(r"resolvers containers\n(  .*\n)+", "", text)
    text = text.replace(" resolvers containers init-addr none", "")
    text = text.replace("http-check connect port 8501", "http-check connect default")
    for port, which in ((8501, 0), (8500, 1)):
        line = re.search(rf"  server-template service \d+ service:{port}(.*)\n", text)
        assert line
        servers = (
            f"  server s{number} 127.0.0.1:{it[which]}{line[1]} port {it[0]}\n"
            for number, it in enumerate(places)
        )
        text = text.replace(line[0], "".join(servers))
    return text


def by_name(place: tuple[int, int], nameserver: str) -> Callable[[int, int], str]:
    """The proxy's own configuration, but for ports and for whom it asks what ``service`` is.

    Args:
        place: The ports for REST and gRPC that every service has.
        nameserver: Host and port.

    Returns:
        From the proxy's ports for REST and gRPC to its configuration.
    """
    return lambda rest, grpc: _named(_listening(rest, grpc), place, nameserver)


def _named(text: str, place: tuple[int, int], nameserver: str) -> str:
    text = text.replace("parse-resolv-conf", f"nameserver test {nameserver}")
    for old, new in zip((8501, 8500), place, strict=True):
        text = text.replace(f" service:{old}", f" service:{new}")
    return text.replace("http-check connect port 8501", f"http-check connect port {place[0]}")


def _listening(rest: int, grpc: int) -> str:
    text = CONFIG.read_text().replace("bind :8501", f"bind 127.0.0.1:{rest}")
    return text.replace("bind :8500", f"bind 127.0.0.1:{grpc}")


@contextlib.contextmanager
def running_proxy(folder: Path, configure: Callable[[int, int], str]) -> Iterator[Server]:
    """Run the proxy; it is handed over at once, whether or not a service is there.

    Args:
        folder: Where its configuration may lie.
        configure: Gives the configuration for a port for REST and one for gRPC.
    """
    rest, grpc = free_port(), free_port()
    config = folder / "haproxy.cfg"
    config.write_text(configure(rest, grpc))
    command = [shutil.which("haproxy") or "", "-W", "-db", "-f", str(config)]
    with running(command, f"http://127.0.0.1:{rest}", None) as server:
        yield replace(server, grpc=f"127.0.0.1:{grpc}")
