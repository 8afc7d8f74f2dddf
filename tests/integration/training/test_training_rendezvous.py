"""Workers meet before TensorFlow starts, or say who is missing or different."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.servers import free_port
from training.distributed import cluster, rendezvous
from training.errors import ClusterError

FACTS = {"--epochs": 3, "the table": "of 12 bytes"}


def clusters(size: int) -> list[cluster.Cluster]:
    """The same workers, as each of them sees them."""
    tasks = tuple(cluster.Task("worker", it, f"127.0.0.1:{free_port()}") for it in range(size))
    return [cluster.Cluster(tasks, it) for it in range(size)]


def meet(some: list[cluster.Cluster], facts: list[dict], wait_s: float = 20) -> list[str]:
    """What each of some workers is told: the chief's word, or why they cannot train together."""

    def one(mine: cluster.Cluster, has: dict) -> str:
        try:
            return rendezvous.meet(mine, has, wait_s, "all well")
        except ClusterError as error:
            return str(error)

    with ThreadPoolExecutor(len(some)) as threads:
        return list(threads.map(one, some, facts))


def test_workers_that_are_alike_meet_and_hear_the_chief():
    assert meet(clusters(3), [FACTS] * 3) == ["all well"] * 3


def test_all_are_told_who_is_different_and_in_what():
    told = meet(clusters(3), [FACTS, FACTS, FACTS | {"--epochs": 4, "code": "abc"}])

    assert told[0] == told[1] == told[2]
    assert "the workers cannot train together:" in told[0]
    assert ") has --epochs 4, the chief 3" in told[0]
    assert ") has code abc, the chief None" in told[0]
    assert "worker 2 (" in told[0]
    assert "worker 1 (" not in told[0]


def test_workers_with_other_lists_of_workers_are_told_so():
    pair = clusters(2)
    longer = cluster.Cluster((*pair[0].tasks, cluster.Task("worker", 2, "127.0.0.1:1")), 1)

    told = meet([pair[0], longer], [FACTS] * 2)

    assert told[0] == told[1]
    assert "127.0.0.1:1, the chief " in told[0]


def test_chief_names_who_has_not_come():
    three = clusters(3)

    told = meet(three[:2], [FACTS] * 2, wait_s=0.5)

    assert f"after 0.5 s of waiting (--worker_wait_s) {three[0].tasks[2]} has not come" in told[0]
    assert f"{three[0].chief}, the chief, or one that it waits for, has not come" in told[1]


@pytest.mark.parametrize("lost", [0, 1])
def test_who_ends_while_it_loads_is_named_at_once(lost):
    three = clusters(3)

    class OutOfMemoryError(Exception):
        """What ends a worker here."""

    def one(mine: cluster.Cluster) -> str:
        def load() -> None:
            if mine.index == lost:
                raise OutOfMemoryError

        with pytest.raises((ClusterError, OutOfMemoryError)) as ended:
            rendezvous.meet(mine, FACTS, 20, load=load)
        return str(ended.value)

    with ThreadPoolExecutor(3) as threads:
        told = list(threads.map(one, three))

    said = f"{three[0].tasks[lost]} has ended while TensorFlow was loaded"
    assert [said in it for it in told] == [it != lost for it in range(3)]


def test_worker_waits_for_a_chief_that_comes_later():
    pair = clusters(2)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(meet, [pair[1]], [FACTS])
        with socket.create_server(("", int(pair[0].chief.address.rpartition(":")[2]))) as other:
            other.accept()[0].close()  # a chief that came, and went without a word
        assert meet([pair[0]], [FACTS]) == ["all well"]
        assert first.result() == ["all well"]


def test_who_is_no_worker_is_passed_over():
    pair = clusters(2)
    host, port = "127.0.0.1", int(pair[0].chief.address.rpartition(":")[2])
    with ThreadPoolExecutor(1) as threads:
        chief = threads.submit(meet, [pair[0]], [FACTS])
        for said in (b"GET / HTTP/1.1\r\n\r\n", b"[7, {}]\n", b"[1]\n", b"{}\n"):
            stranger = connected(host, port)
            stranger.sendall(said)
            stranger.close()
        assert meet([pair[1]], [FACTS]) == ["all well"]
        assert chief.result() == ["all well"]


def connected(host: str, port: int) -> socket.socket:
    """A connection to a server that may be starting still."""
    while True:
        try:
            return socket.create_connection((host, port), 20)
        except ConnectionRefusedError:
            pass


def test_all_are_told_who_does_not_reach_whom():
    """Worker 1 is called by an address that is not its own, as behind a wall."""
    one, two = clusters(2)
    wall = cluster.Task("worker", 1, f"127.0.0.1:{free_port()}")
    seen = cluster.Cluster((one.chief, wall), 0)
    mine = Moved((one.chief, wall), 1, two.tasks[1])

    told = meet([seen, mine], [FACTS] * 2)

    assert told[0] == told[1]
    assert f"{one.chief} does not reach {wall}: Connection refused" in told[0]


@dataclass(frozen=True)
class Moved(cluster.Cluster):
    """Workers as one sees them that listens elsewhere."""

    place: cluster.Task

    @property
    def me(self) -> cluster.Task:
        return self.place


@pytest.mark.parametrize("index", [0, 1])
def test_port_that_is_taken_is_named(index):
    mine = clusters(2)[index]
    said = rf"worker {index} \(.*\) cannot listen on port \d+: Address already in use"
    port = int(mine.me.address.rpartition(":")[2])
    with socket.create_server(("", port)), pytest.raises(ClusterError, match=said):
        rendezvous.meet(mine, FACTS, 1)
