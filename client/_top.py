"""``top``: a view of what a server does just now, renewed again and again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TextIO

from client._errors import Unavailable
from client._rates import Reading, between, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType
    from rich.table import Table

    from client._client import Client
    from client._rates import Interval

_BARS: Final = "▁▂▃▄▅▆▇█"
_HISTORY: Final = 60
_ROUTES: Final = 12


@dataclass
class View:
    """What is shown of the last looks.

    Attributes:
        url: The server.
        history: Requests a second, oldest first.
        now: What happened since the look before; None before there were two.
        problem: Why the last look failed; empty if it did not.
    """

    url: str
    history: deque[float] = field(default_factory=lambda: deque(maxlen=_HISTORY))
    now: Interval | None = None
    problem: str = ""

    def add(self, interval: Interval) -> None:
        """Show a further interval."""
        self.now, self.problem = interval, ""
        self.history.append(interval.requests)

    def line(self) -> str:
        """All of it in one line."""
        if self.problem or self.now is None:
            return self.problem or "looking"
        return "  ".join(f"{name} {value}" for name, value in _figures(self.now).items())


def watch(client: Client, stream: TextIO, every_s: float, times: int | None) -> None:
    """Look at a server again and again, and show it.

    Args:
        client: Asks it.
        stream: A terminal has one view that changes; anything else a line each time.
        every_s: Seconds between two looks.
        times: How many intervals to show; None for ever.

    Raises:
        HearthError: The first look fails. A later one that finds nobody is shown.
    """
    view = View(client.url)
    if not stream.isatty():
        _follow(client, view, every_s, times, lambda: print(view.line(), file=stream, flush=True))
        return
    from rich.console import Console  # noqa: PLC0415  only terminals pay for it
    from rich.live import Live  # noqa: PLC0415  only terminals pay for it

    with Live(console=Console(file=stream), auto_refresh=False, screen=True) as live:
        _follow(client, view, every_s, times, lambda: live.update(render(view), refresh=True))


def render(view: View) -> RenderableType:
    """The view as a terminal shows it."""
    from rich.console import Group  # noqa: PLC0415  only terminals pay for it
    from rich.text import Text  # noqa: PLC0415  only terminals pay for it

    parts: list[RenderableType] = [Text(f"Hearth at {view.url}", style="bold")]
    if view.problem:
        parts.append(Text(view.problem, style="red"))
    if view.now is not None:
        parts += [_tiles(view.now), Text(sparkline(view.history)), Text(""), _routes(view.now)]
    parts.append(Text("Ctrl-C ends.", style="dim"))
    return Group(*parts)


def sparkline(values: deque[float]) -> str:
    """Values as bars of eight heights, the greatest the tallest."""
    most = max(values, default=0.0)
    if most <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[round(it / most * (len(_BARS) - 1))] for it in values)


def _follow(
    client: Client, view: View, every_s: float, times: int | None, show: Callable[[], None]
) -> None:
    before = _read(client)
    shown = 0
    show()
    while times is None or shown < times:
        client.clock.sleep(every_s)
        try:
            after = _read(client)
        except Unavailable as error:
            view.problem = str(error)
        else:
            view.add(between(before, after))
            before = after
        shown += 1
        show()


def _read(client: Client) -> Reading:
    return Reading(client.clock.now(), parse(client.metrics()))


def _figures(now: Interval) -> dict[str, str]:
    return {
        "requests/s": f"{now.requests:,.1f}",
        "rows/s": f"{now.rows:,.1f}",
        "errors/s": f"{now.errors:,.1f}",
        "p50": _duration(now.p50),
        "p90": _duration(now.p90),
        "p99": _duration(now.p99),
        "workers": str(now.workers),
    }


def _tiles(now: Interval) -> Table:
    from rich.table import Table  # noqa: PLC0415  only terminals pay for it

    figures = _figures(now)
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in figures:
        table.add_column(name, justify="right", header_style="dim")
    table.add_row(*figures.values())
    return table


def _routes(now: Interval) -> Table:
    from rich.table import Table  # noqa: PLC0415  only terminals pay for it

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("protocol", "route", "model", "outcome"):
        table.add_column(name, header_style="dim")
    table.add_column("a second", justify="right", header_style="dim")
    for route, rate in now.routes[:_ROUTES]:
        table.add_row(*route, f"{rate:,.1f}", style="red" if route[-1] != "ok" else None)
    return table


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
