"""The workers that train a network together: where they are, and which of them this process is.

``TF_CONFIG`` says so, as ``tf.distribute`` reads it, or flags that make one:

    {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
     "task": {"type": "worker", "index": 0}}

The first worker, or the one that the cluster names chief, is the chief. Knows no TensorFlow.

References:
    https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from training.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VARIABLE: Final = "TF_CONFIG"

_JOBS: Final = ("chief", "worker")  # in the order of their numbers
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/]+):([0-9]{1,5})")
_MOST_PORT: Final = 65_535


@dataclass(frozen=True)
class Task:
    """One worker.

    Attributes:
        job: ``chief`` or ``worker``.
        index: Its number in the job.
        address: ``HOST:PORT``, as the others reach it.
    """

    job: str
    index: int
    address: str

    def __str__(self) -> str:
        return f"{self.job} {self.index} ({self.address})"


@dataclass(frozen=True)
class Cluster:
    """All workers.

    Attributes:
        tasks: The chief first.
        index: Which of them this process is.
    """

    tasks: tuple[Task, ...]
    index: int

    @property
    def me(self) -> Task:
        """This process."""
        return self.tasks[self.index]

    @property
    def chief(self) -> Task:
        """Who evaluates, exports and publishes."""
        return self.tasks[0]

    @property
    def config(self) -> str:
        """The whole as ``TF_CONFIG`` has it."""
        jobs = {job: [it.address for it in self.tasks if it.job == job] for job in _JOBS}
        cluster = {job: addresses for job, addresses in jobs.items() if addresses}
        task = {"type": self.me.job, "index": self.me.index}
        return json.dumps({"cluster": cluster, "task": task})


def of_flags(workers: str | None, index: int | None) -> Cluster | None:
    """Read ``--workers`` and ``--worker_index``.

    Args:
        workers: Addresses with commas between them.
        index: Which of them this process is.

    Returns:
        The workers; None where it is but one.

    Raises:
        ClusterError: They are wrong.
    """
    if workers is None:
        raise ClusterError("--worker_index goes with --workers")
    if index is None:
        raise ClusterError("--worker_index is missing: which of --workers is this?")
    tasks = _tasks("--workers", {"worker": [it.strip() for it in workers.split(",")]})
    return _cluster(tasks, _number("--worker_index", index, len(tasks)))


def of_environment(environment: Mapping[str, str]) -> Cluster | None:
    """Read ``TF_CONFIG``.

    Args:
        environment: Variables by name.

    Returns:
        The workers; None where there is no cluster, or one of one process.

    Raises:
        ClusterError: It is wrong.
    """
    text = environment.get(VARIABLE, "")
    config = _decoded(text) if text.strip() else {}
    if not config.get("cluster"):
        return None
    jobs, task = _object(config, "cluster"), _object(config, "task")
    tasks = _tasks(f"{VARIABLE}: cluster", jobs)
    job = task.get("type")
    if job not in jobs:
        raise ClusterError(f"{VARIABLE}: task.type is {job!r}, not one of {', '.join(jobs)}")
    index = _number(f"{VARIABLE}: task.index", task.get("index"), len(jobs[job]))
    return _cluster(tasks, [(it.job, it.index) for it in tasks].index((job, index)))


def _cluster(tasks: tuple[Task, ...], index: int) -> Cluster | None:
    return Cluster(tasks, index) if len(tasks) > 1 else None


def _decoded(text: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ClusterError(f"{VARIABLE} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ClusterError(f"{VARIABLE} is {text.strip()[:40]!r}, not an object")
    return config


def _object(config: dict[str, Any], name: str) -> dict[str, Any]:
    value = config.get(name)
    if not isinstance(value, dict):
        raise ClusterError(f"{VARIABLE}: {name} is {value!r}, not an object")
    return value


def _tasks(place: str, jobs: Mapping[str, Any]) -> tuple[Task, ...]:
    if wrong := [job for job in jobs if job not in _JOBS]:
        raise ClusterError(f"{place} has {wrong[0]!r}, not one of {', '.join(_JOBS)}")
    found = [task for job in _JOBS if job in jobs for task in _job(place, job, jobs[job])]
    chiefs = [it for it in found if it.job == "chief"]
    if len(chiefs) > 1:
        raise ClusterError(f"{place} has {len(chiefs)} chiefs, at most 1")
    addresses = [it.address for it in found]
    for address in addresses:
        if addresses.count(address) > 1:
            raise ClusterError(f"{place} has {address} {addresses.count(address)} times, once each")
    return tuple(found)


def _job(place: str, job: str, addresses: Any) -> Sequence[Task]:
    if not isinstance(addresses, list) or not addresses:
        raise ClusterError(f"{place}: {job} is {addresses!r}, not a list of HOST:PORT")
    return [Task(job, number, _address(place, it)) for number, it in enumerate(addresses)]


def _address(place: str, text: Any) -> str:
    found = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ClusterError(f"{place} has {text!r}, not HOST:PORT")
    if not 0 < int(found[2]) <= _MOST_PORT:
        raise ClusterError(f"{place} has port {found[2]} in {text}, outside [1, {_MOST_PORT}]")
    return found[0]


def _number(place: str, value: Any, count: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ClusterError(f"{place} is {value!r}, not a whole number")
    if not 0 <= value < count:
        raise ClusterError(f"{place} is {value}, outside [0, {count - 1}]")
    return value
