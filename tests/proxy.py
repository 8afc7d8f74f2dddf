"""The compose stack's proxy, before services that run as processes of this machine."""

from __future__ import annotations

import contextlib
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.servers import ROOT, Server, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CONFIG = ROOT / "deploy" / "haproxy" / "haproxy.cfg"


def configuration(rest: int, grpc: int, places: Sequence[tuple[int, int]]) -> str:
    """The proxy's own configuration, but for where it listens and where services are.

    Args:
        rest: Its port for REST.
        grpc: Its port for gRPC.
        places: Ports for REST and gRPC of every service that there may be.
    """
    text = CONFIG.read_text()
    text = re.sub(r"resolvers containers\n(  .*\n)+", "", text)
    text = text.replace(" resolvers containers init-addr none", "")
    text = text.replace("bind :8501", f"bind 127.0.0.1:{rest}")
    text = text.replace("bind :8500", f"bind 127.0.0.1:{grpc}")
    for port, template in ((8501, 0), (8500, 1)):
        line = re.search(rf"  server-template service \d+ service:{port}(.*)\n", text)
        assert line
        servers = (
            f"  server s{number} 127.0.0.1:{it[template]}{line[1].replace('8501', str(it[0]))}\n"
            for number, it in enumerate(places)
        )
        text = text.replace(line[0], "".join(servers))
    return text


@contextlib.contextmanager
def running_proxy(folder: Path, places: Sequence[tuple[int, int]]) -> Iterator[Server]:
    """Run the proxy; it is handed over at once, whether or not a service is there."""
    rest, grpc = free_port(), free_port()
    config = folder / "haproxy.cfg"
    config.write_text(configuration(rest, grpc, places))
    command = [shutil.which("haproxy") or "", "-W", "-db", "-f", str(config)]
    with running(command, f"http://127.0.0.1:{rest}", None) as server:
        yield replace(server, grpc=f"127.0.0.1:{grpc}")
