"""A name server on the loopback address that knows one name, as a container engine's does."""

from __future__ import annotations

import contextlib
import socketserver
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.servers import in_a_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


class NameServer(socketserver.ThreadingUDPServer):
    """Answers questions for the name ``service``.

    Attributes:
        addresses: What it answers now; with none it says that there is no such name.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.addresses: list[str] = []

    @property
    def place(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.BaseRequestHandler):
    server: NameServer

    def handle(self) -> None:
        data, socket = self.request
        socket.sendto(self._answer(dns.message.from_wire(data)).to_wire(), self.client_address)

    def _answer(self, question: dns.message.Message) -> dns.message.Message:
        (asked,) = question.question
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        if asked.name.to_text() != "service." or not self.server.addresses:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif asked.rdtype == dns.rdatatype.A:
            answer.answer.append(
                dns.rrset.from_text(asked.name, 1, "IN", "A", *self.server.addresses)
            )
        return answer


@contextlib.contextmanager
def running_name_server() -> Iterator[NameServer]:
    """Run one."""
    server = NameServer()
    with in_a_thread(server):
        yield server
