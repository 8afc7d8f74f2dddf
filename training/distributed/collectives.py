"""Sums over the workers of a cluster, by ``tf.distribute.MultiWorkerMirroredStrategy``.

Numbers go around in a ring, over gRPC between the workers. TensorFlow's coordination service
runs in the chief and hears every worker's heartbeat, so that one that is killed, hangs or is cut
off ends the sum of all others within seconds.

TensorFlow's calls wait in a thread of their own: the main thread stays open to signals.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import re
import signal
import threading
from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

from training.distributed.cluster import VARIABLE
from training.errors import ClusterError, WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from training.distributed.cluster import Cluster, Task

_START_S: Final = 300.0
# Whom TensorFlow's message is about: who sent no heartbeat, else who gave no answer; what one
# worker tells of another stands behind what is told of itself.
_TASK: Final = r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)"
_BLAMED: Final = (
    re.compile(rf"unhealthy[^:]*:(?:\s|\\n)*{_TASK}"),
    re.compile(rf"remote target {_TASK}"),
    re.compile(_TASK),
)
_REASON: Final = re.compile(
    r"aborted by: (?:Collective ops is aborted by: |Error reported from \S+ )*([^\n\\]*)"
)


class Ring:
    """A group of workers; see ``training.engine.group.Group``.

    Args:
        cluster: All of them, all there.

    Raises:
        ClusterError: This one's address cannot be listened on.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._thread = _Thread()
        self._adders: dict[tuple[tuple[int, ...], Any], Callable[[Any], Any]] = {}
        os.environ[VARIABLE] = cluster.config
        handler = signal.getsignal(signal.SIGTERM)
        try:
            self._strategy = self._thread.call(_strategy)
        except tf.errors.OpError as error:
            raise ClusterError(f"{cluster.me} cannot take part: {error.message}") from error
        finally:
            signal.signal(signal.SIGTERM, handler)  # TensorFlow took it for itself

    @property
    def index(self) -> int:
        """This worker's number, from 0, the chief's."""
        return self._cluster.index

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._cluster.tasks)

    def sum(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """See ``Group``.

        Raises:
            WorkerLostError: Another worker is gone.
        """
        try:
            total: NDArray[Any] = self._thread.call(lambda: self._sum(numbers))
        except tf.errors.OpError as error:
            raise WorkerLostError(_lost(self._cluster, str(error))) from error
        return total

    def _sum(self, numbers: NDArray[Any]) -> Any:
        form = numbers.shape, numbers.dtype
        if form not in self._adders:
            self._adders[form] = self._adder(tf.TensorSpec(*form))
        return self._adders[form](tf.constant(numbers)).numpy()

    def _adder(self, form: Any) -> Callable[[Any], Any]:
        """A graph, traced in the same order by every worker: TensorFlow numbers its sums."""

        def add(mine: Any) -> Any:
            replica = tf.distribute.get_replica_context()
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(mine))

        whole = tf.function(lambda mine: self._strategy.run(add, args=(mine,)), autograph=False)
        made: Callable[[Any], Any] = whole.get_concrete_function(form)
        return made


class _Thread:
    """Makes calls one after another, and lets who asks for them hear signals meanwhile."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def call(self, function: Callable[[], Any]) -> Any:
        """What a function gives."""
        self._calls.put(function)
        answer, error = self._answers.get()
        if error is not None:
            raise error
        return answer

    def _work(self) -> None:
        while True:
            function = self._calls.get()
            try:
                self._answers.put((function(), None))
            except Exception as error:  # noqa: BLE001 - raised where it was asked for
                self._answers.put((None, error))


def _strategy() -> Any:
    """The strategy of ``TF_CONFIG``: waits for all workers, and no thread of Python's runs then.

    All have loaded it by now. Whoever waits for one that has gone since ends with a traceback.
    """
    tf.config.set_visible_devices([], "GPU")  # one replica a worker: NumPy trains
    known = tf.distribute.experimental
    ring = known.CommunicationOptions(implementation=known.CommunicationImplementation.RING)
    faulthandler.dump_traceback_later(_START_S, exit=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=ring)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _lost(cluster: Cluster, said: str) -> str:
    found = _REASON.search(said)
    reason = found[1] if found else said.partition("\n")[0]
    return (
        f"{_blamed(cluster.tasks, cluster.me, said)} is lost: {reason.rstrip(': ')}. Its own "
        "output says why. Start the same command on every worker again: training goes on "
        "from the last checkpoint"
    )


def _blamed(tasks: Sequence[Task], me: Task, said: str) -> str:
    known = {(it.job, str(it.index)): it for it in tasks}
    for pattern in _BLAMED:
        for found in reversed(pattern.findall(said)):
            task = known.get(found)
            if task is not None and task != me:
                return str(task)
    return "a worker"
