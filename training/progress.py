"""What a person sees while the network is trained: a bar, or lines where none can be drawn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from rich.console import Console

# Is told how many epochs are done, and what was measured in the last: ``loss``, ``mae``,
# ``val_loss`` and ``val_mae``.
Watcher = Callable[[int, dict[str, float]], None]

_SMALL: Final = 0.1  # below it two decimals say too little
_LINES: Final = 10  # as many as tell how a run goes


def watch(epochs: int, console: Console) -> AbstractContextManager[Watcher]:
    """Show a bar where the console is a terminal, else lines.

    Args:
        epochs: How many there will be.
        console: Where to show them.
    """
    return bar(epochs, console) if console.is_terminal else lines(epochs, console)


def both(one: Watcher, other: Watcher) -> Watcher:
    """Tell two watchers of every epoch."""

    def saw(epoch: int, measured: dict[str, float]) -> None:
        one(epoch, measured)
        other(epoch, measured)

    return saw


@contextmanager
def bar(epochs: int, console: Console) -> Iterator[Watcher]:
    """Show a bar that moves with every epoch."""
    progress = Progress(
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[measured]}"),
        TimeRemainingColumn(),
        console=console,
    )
    task = progress.add_task("training", total=epochs, measured="")
    with progress:
        yield lambda epoch, measured: progress.update(
            task, completed=epoch, measured=_shown(measured)
        )


@contextmanager
def lines(epochs: int, console: Console) -> Iterator[Watcher]:
    """Write a line every tenth of the run, and at its end."""
    every = max(1, epochs // _LINES)

    def saw(epoch: int, measured: dict[str, float]) -> None:
        if epoch % every == 0 or epoch == epochs:
            line = f"epoch {epoch}/{epochs}  {_shown(measured)}"
            console.print(line, highlight=False, soft_wrap=True)

    yield saw


def _shown(measured: dict[str, float]) -> str:
    shown = {name: _figure(value) for name, value in measured.items()}
    return (
        f"loss {shown['loss']} MAE {shown['mae']}, "
        f"validation {shown['val_loss']} {shown['val_mae']}"
    )


def _figure(value: float) -> str:
    return f"{value:.3g}" if 0 < value < _SMALL else f"{value:.2f}"
