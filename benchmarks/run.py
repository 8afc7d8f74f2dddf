"""What all measurements of one run share: the model, the cores, how long, and who tells of it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from benchmarks import servers
from benchmarks.cores import Cores
from benchmarks.load import Measured, h2load, wrk
from benchmarks.peers import LIMITS, PEERS, Launch, Peer, environments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.console import Console

    from benchmarks.forms import Form, Rows
    from service.contract import Golden

_T = TypeVar("_T")

UNPINNED: Final = Cores()


@dataclass(frozen=True)
class Run:
    """One run of the benchmark.

    Attributes:
        version: The model version that all serve.
        golden: Its rows with their prices: what answers are checked against.
        cores: Which cores servers and load get.
        busy: The machine's load average over a minute, before the run.
        rounds: Turns that everything is measured in.
        seconds: Length of one load.
        connections: Of the closed-loop loads of the peers, in turn.
        console: Where progress is shown.
        peers: Keys of those to measure.
        install: Environments that are not there are made; else their peers are left out.
    """

    version: Path
    golden: Golden
    cores: Cores
    busy: float
    rounds: int
    seconds: float
    console: Console
    connections: tuple[int, ...] = (1, 16, 64)
    peers: tuple[str, ...] = tuple(PEERS)
    install: bool = True
    _kept: dict[str, Any] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Tell of progress."""
        self.console.print(text, style="dim", highlight=False, markup=False)

    def once(self, name: str, measure: Callable[[], _T]) -> _T:
        """What was measured under this name in this run, measured now if it was not yet."""
        if name not in self._kept:
            self._kept[name] = measure()
        found: _T = self._kept[name]
        return found

    def rows(self, n: int) -> list[tuple[float, ...]]:
        """Golden rows, ``n`` of them, over and over."""
        rows = self.golden.rows
        return [rows[k % len(rows)] for k in range(n)]

    def prices(self, n: int) -> list[float]:
        """The right prices of ``rows(n)``."""
        prices = self.golden.predictions
        return [prices[k % len(prices)] for k in range(n)]

    @contextlib.contextmanager
    def start(
        self,
        key: str,
        *flags: str,
        workers: int = 1,
        version: Path | None = None,
        cores: Cores | None = None,
    ) -> Iterator[Subject]:
        """Start a peer, wait for its first right answer, and stop it in the end.

        Args:
            key: Which one.
            *flags: Further flags, for Hearth.
            workers: Its worker processes.
            version: Another model version than the run's.
            cores: Other cores than the run's.

        Raises:
            NotInstalled: It needs what is not here.
            ServerError: It did not start.
            WrongAnswer: It does not answer rightly.
        """
        peer = PEERS[key]
        if not self.install and not environments.is_installed(peer):
            raise environments.NotInstalled(f"{peer.title} is not installed")
        python = environments.python_of(peer)
        with servers.scratch() as name:
            launch = Launch(
                python, (version or self.version).absolute(), servers.free_ports(), Path(name),
                workers, flags,
            )  # fmt: skip
            run = self if cores is None else replace(self, cores=cores)
            command = run.cores.serving(peer.command(launch))
            variables = peer.variables(launch)
            with servers.running(command, launch.ports, variables, launch.folder) as server:
                form = peer.forms[0]
                start_s = server.wait(form, self.rows(1), self.prices(1))
                yield Subject(key, peer, server, run, start_s)


@dataclass(frozen=True)
class Subject:
    """A server under measurement.

    Attributes:
        key: The peer's key.
        peer: What it is.
        server: Its process.
        run: The run, with the cores of this server.
        start_s: Seconds from its start to its first right answer.
    """

    key: str
    peer: Peer
    server: servers.Server
    run: Run
    start_s: float

    def check(self, form: Form) -> None:
        """See that all golden rows are answered rightly, each alone and all together.

        A limit knows one answer alone, that of the first row.

        Raises:
            WrongAnswer: They are not.
        """
        rows, prices = self.run.golden.rows, self.run.golden.predictions
        batches = [(rows[k : k + 1], prices[k : k + 1]) for k in range(len(rows))]
        for batch, expected in batches[:1] if self.key in LIMITS else [*batches, (rows, prices)]:
            form.check(self.server.ask(form.write(batch)), expected)

    def load(
        self, form: Form, rows: Rows, connections: int, seconds: float | None = None
    ) -> Measured:
        """Send a request over and over.

        Args:
            form: The protocol.
            rows: What to ask for.
            connections: Kept-alive connections, each with one request under way.
            seconds: How long, if not as long as the run says.

        Raises:
            LoadError: A request failed.
        """
        request = form.write(rows)
        url, cores = self.server.url(request), self.run.cores
        seconds = seconds or self.run.seconds
        if not request.grpc:
            return wrk.run(url, request, connections, seconds, cores)
        size = len(self.server.ask(request).body)
        return h2load.run(url, request, size, connections, seconds, cores)


def in_turns(rounds: int, measures: Mapping[str, Callable[[], _T]]) -> list[dict[str, _T]]:
    """Measure several things by turns, so that noise meets all alike.

    Returns:
        For every round what each measured, by name.
    """
    return [{name: measure() for name, measure in measures.items()} for _ in range(rounds)]
