"""The paced sender against servers that stall, fail and hang up."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from benchmarks.load.paced import Sender, post

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
REQUEST = post("http://127.0.0.1/", b"", {})

Answer = Callable[[int], bytes]


@contextlib.contextmanager
def server(answer: Answer) -> Iterator[tuple[str, int]]:
    """Answers the k-th request on a connection as told; an empty answer hangs up."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            ends = (line for line in self.rfile if not line.strip())
            for k, _ in enumerate(ends):
                reply = answer(k)
                if not reply:
                    return
                self.wfile.write(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listening.server_address
        finally:
            listening.shutdown()
            thread.join()


@contextlib.contextmanager
def sender(answer: Answer, connections: int) -> Iterator[Sender]:
    with server(answer) as address, contextlib.closing(Sender(address, REQUEST, connections)) as it:
        yield it


def test_every_request_is_sent_and_answered_once():
    with sender(lambda _: OK, 4) as it:
        found = it.run(rate=500, seconds=0.4)

    assert found.answered.sum() == 200
    assert found.failed == 0
    assert sorted(found.due_s - found.due_s.min()) == pytest.approx([k / 500 for k in range(200)])


def test_a_stall_counts_for_all_that_fall_due_in_it():
    stalled = threading.Event()

    def stall_once(k: int) -> bytes:
        if k == 10 and not stalled.is_set():
            stalled.set()
            threading.Event().wait(0.3)
        return OK

    with sender(stall_once, 1) as it:
        found = it.run(rate=200, seconds=0.5)

    assert found.answered.all()
    # A load that waits for its answers would see one slow request of 100; 60 fell due.
    assert (found.latency_s > 0.05).sum() >= 45


def test_other_answers_count_as_failed():
    with sender(lambda k: BUSY if k % 2 else OK, 1) as it:
        found = it.run(rate=200, seconds=0.1)

    assert found.failed == 10
    assert found.answered.sum() == 10


def test_lost_connections_count_as_failed_and_are_made_anew():
    with sender(lambda k: b"" if k == 4 else OK, 1) as it:
        found = it.run(rate=200, seconds=0.1)

    assert found.failed == 4
    assert found.answered.sum() == 16


def test_what_is_never_answered_counts_with_its_wait():
    hang = threading.Event()
    with sender(lambda _: OK if hang.wait(5) else b"", 1) as it:
        found = it.run(rate=100, seconds=0.1)
        hang.set()

    assert not found.answered.any()
    assert len(found.latency_s) == 10
    assert found.latency_s.min() >= 0.9
