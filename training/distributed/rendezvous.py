"""How workers find each other, and that they would train the same, before TensorFlow starts.

All listen on their own addresses. Each says at the chief's what it has; when all have come, each
tries to reach all others; and all hear why they cannot train together, if so. TensorFlow alone
would wait for a worker that is missing or behind a wall, for an hour and deaf to signals, and would
fail with one that is different by numbers that do not fit.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from training.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from training.distributed.cluster import Cluster, Task

_POLL_S: Final = 0.2
_ANSWER_S: Final = 5.0
_MOST_BYTES: Final = 1_000_000
_REACH: Final = "reach"
_LOADED: Final = "loaded"
# How long TensorFlow may take to load.
_LOAD_S: Final = 300.0

Facts = dict[str, Any]


def meet(
    cluster: Cluster,
    facts: Mapping[str, Any],
    wait_s: float,
    verdict: str = "",
    load: Callable[[], object] = lambda: None,
) -> str:
    """Wait until all workers are there and, where the chief has no verdict, have loaded.

    Args:
        cluster: All of them.
        facts: What they must have alike, by name; JSON.
        wait_s: How long to wait, s.
        verdict: What the chief has to tell all; empty where they are to train.
        load: Loads what takes long, and may fail, before they do.

    Returns:
        What the chief told.

    Raises:
        ClusterError: One has not come, is not reached, has something else than the chief, or has
            ended while it loaded.
    """
    addresses = ", ".join(it.address for it in cluster.tasks)
    told = {"the workers": addresses, **facts}
    ends = time.monotonic() + wait_s
    try:
        if cluster.index == 0:
            problems = _lead(cluster, told, ends, verdict, load)
        else:
            verdict, problems = _follow(cluster, told, ends, load)
    except TimeoutError as missing:
        raise ClusterError(
            f"after {wait_s:g} s of waiting (--worker_wait_s) {missing} has not come: start the "
            "same command on every worker, and let each reach the others' ports"
        ) from None
    if problems:
        raise ClusterError("\n  ".join(["the workers cannot train together:", *problems]))
    return verdict


def _lead(
    cluster: Cluster, facts: Facts, ends: float, verdict: str, load: Callable[[], object]
) -> list[str]:
    """Hear all others, and tell them what is wrong: nothing, if all is well."""
    others = set(range(1, len(cluster.tasks)))
    come: dict[int, tuple[socket.socket, Facts]] = {}
    with _listen(cluster.me) as listener, ExitStack() as stack:
        while missing := others - come.keys():
            connection = stack.enter_context(_accept(listener, ends, cluster, missing))
            number, told = _hear(connection)
            if number in others:
                come[number] = (connection, told)
        problems = [
            problem
            for number in sorted(come)
            for problem in _differences(cluster.tasks[number], come[number][1], facts)
        ]
        problems = problems or _reach(cluster, [it for it, _ in come.values()])
        for connection, _ in come.values():
            _say(connection, [verdict, problems])
        if not (verdict or problems):
            load()
            problems = _loaded(cluster, {number: come[number][0] for number in sorted(come)})
    return problems


def _loaded(cluster: Cluster, connections: Mapping[int, socket.socket]) -> list[str]:
    """Hear from all others that they have loaded, and let all go on; who has ended meanwhile."""
    problems = []
    for number, connection in connections.items():
        try:
            _read(connection, _LOAD_S)
        except (OSError, ValueError):
            problems.append(_gone(cluster.tasks[number]))
    for connection in connections.values():
        with contextlib.suppress(OSError):
            _say(connection, problems)
    return problems


def _gone(task: Task) -> str:
    return f"{task} has ended while TensorFlow was loaded: its own output says why"


def _reach(cluster: Cluster, connections: Sequence[socket.socket]) -> list[str]:
    """Let every worker try to reach all others; who is not reached."""
    for connection in connections:
        _say(connection, _REACH)
    problems = _unreached(cluster)
    for connection in connections:
        try:
            problems += _read(connection, _ANSWER_S * len(cluster.tasks))
        except (OSError, ValueError, TypeError) as error:
            problems.append(f"a worker that had come went again: {error}")
    return problems


def _unreached(cluster: Cluster) -> list[str]:
    problems = []
    for task in cluster.tasks:
        try:
            socket.create_connection(_place(task), _ANSWER_S).close()
        except OSError as error:
            problems.append(f"{cluster.me} does not reach {task}: {error.strerror or error}")
    return problems


def _accept(
    listener: socket.socket, ends: float, cluster: Cluster, missing: set[int]
) -> socket.socket:
    """The next connection.

    Raises:
        TimeoutError: Nobody came; with the names of those missing.
    """
    listener.settimeout(max(ends - time.monotonic(), 0.01))
    try:
        return listener.accept()[0]
    except TimeoutError:
        named = ", ".join(str(cluster.tasks[it]) for it in sorted(missing))
        raise TimeoutError(named) from None


def _hear(connection: socket.socket) -> tuple[int, Facts]:
    """Who is there, and what it has; number 0 of whoever is no worker."""
    try:
        number, facts = _read(connection, _ANSWER_S)
        return int(number), dict(facts)
    except (OSError, ValueError, TypeError):
        return 0, {}


def _follow(
    cluster: Cluster, facts: Facts, ends: float, load: Callable[[], object]
) -> tuple[str, list[str]]:
    """Tell the chief what this one has; give what it answers when all have come.

    Raises:
        TimeoutError: It did not; with its name.
    """
    with _listen(cluster.me), ExitStack() as stack:
        chief, verdict, problems = _asked(cluster, facts, ends, stack)
        if not (verdict or problems):
            problems = _load(chief, cluster, load)
    return verdict, problems


def _asked(
    cluster: Cluster, facts: Facts, ends: float, stack: ExitStack
) -> tuple[socket.socket, str, list[str]]:
    while (left := ends - time.monotonic()) > 0:
        try:
            chief = socket.create_connection(_place(cluster.chief), min(left, _ANSWER_S))
            return stack.enter_context(chief), *_ask(chief, cluster, facts, ends)
        except (OSError, ValueError):
            time.sleep(_POLL_S)
    raise TimeoutError(str(cluster.chief) + ", the chief, or one that it waits for,")


def _ask(
    chief: socket.socket, cluster: Cluster, facts: Facts, ends: float
) -> tuple[str, list[str]]:
    _say(chief, [cluster.index, facts])
    said = _read(chief, max(ends - time.monotonic(), 0.01))
    if said == _REACH:
        _say(chief, _unreached(cluster))
        said = _read(chief, 2 * _ANSWER_S * len(cluster.tasks))
    verdict, problems = said
    return verdict, problems


def _load(chief: socket.socket, cluster: Cluster, load: Callable[[], object]) -> list[str]:
    """Load, and hear from the chief that all have."""
    load()
    try:
        _say(chief, _LOADED)
        problems: list[str] = _read(chief, _LOAD_S * len(cluster.tasks))
    except (OSError, ValueError):
        return [_gone(cluster.chief)]
    return problems


def _differences(task: Task, told: Facts, facts: Facts) -> Iterator[str]:
    for name in facts | told:
        if told.get(name) != facts.get(name):
            yield f"{task} has {name} {told.get(name)}, the chief {facts.get(name)}"


def _listen(task: Task) -> socket.socket:
    host, port = _place(task)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family)
    except OSError as error:
        raise ClusterError(f"{task} cannot listen on port {port}: {error.strerror}") from error


def _place(task: Task) -> tuple[str, int]:
    host, _, port = task.address.rpartition(":")
    return host.strip("[]"), int(port)


def _say(connection: socket.socket, said: Any) -> None:
    connection.sendall(json.dumps(said).encode() + b"\n")


def _read(connection: socket.socket, wait_s: float) -> Any:
    """A line of JSON.

    Raises:
        OSError: Nobody said one in time.
        ValueError: It is something else.
    """
    connection.settimeout(wait_s)
    with connection.makefile("rb") as file:
        return json.loads(file.readline(_MOST_BYTES))
