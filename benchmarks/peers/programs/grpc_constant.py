"""A ``grpc.aio`` server that answers every call with the bytes of a file."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import grpc


class Constant(grpc.GenericRpcHandler):
    """One handler for all methods; requests stay bytes."""

    def __init__(self, answer: bytes) -> None:
        async def handle(_request: bytes, _context: Any) -> bytes:
            return answer

        self._handler = grpc.unary_unary_rpc_method_handler(handle)

    def service(self, handler_call_details: Any) -> Any:  # noqa: ARG002 - gRPC's interface
        """The handler, whatever is called."""
        return self._handler


async def serve(port: int, answer: bytes) -> None:
    """Answer until SIGTERM comes."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Constant(answer),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
