"""``python -m training``: train the regressor and publish its next version.

Exit codes: 0 published, or already made from the same; 1 nothing published, with the
reason; 2 a flag is wrong; 130 and 143 stopped by Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NoReturn

from service import contract
from training import chatter, fingerprint, flags, publish
from training.errors import TableError, TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from training.columns import Schema
    from training.evaluate import Metrics
    from training.flags import Order
    from training.table import Table


_PLAIN_FROM, _PLAIN_TO = 0.1, 10_000
_LOG_WIDTH: Final = 120
_SIGNALLED: Final = 128  # exit codes above are 128 and a signal's number


def main(arguments: list[str]) -> int:
    """Run the command.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit code.
    """
    order = flags.parse(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        return _obey(order)
    except TrainingError as error:
        print(f"{error}\nNothing was published.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def _obey(order: Order) -> int:
    described = _content(order.columns) if order.columns else b""
    data = order.data if order.recipe.target else _content(order.data)
    made_from = _fingerprint(order, data, described)
    made = None if order.force else _already_made(order.model, made_from)
    if made is not None:
        print(f"{made} is already made from the same data, recipe and code.")
        print("--force (make train FORCE=1) trains again.")
        return 0
    if "B" in order.recipe.features and not order.recipe.target:
        print("B encodes race: see data/README.md on what this model may not be used for.")
    with ExitStack() as stack:
        _train(order, _read(order, data, described, stack), made_from)
    return 0


def _read(order: Order, data: bytes | Path, described: bytes, stack: ExitStack) -> Table:
    """Read and check the table; what it needs on the disk goes when the stack ends.

    Raises:
        TableError: It cannot be used.
        PublishError: The models folder cannot be written.
    """
    # Heavy libraries are imported when they are needed: pandas once a run must be made,
    # TensorFlow once the table is known to be right.
    from training import table  # noqa: PLC0415

    if isinstance(data, bytes):
        return table.boston(data, str(order.data), order.recipe)
    from rich.console import Console  # noqa: PLC0415

    from training import inference, own  # noqa: PLC0415

    place = own.Place(data, described, str(order.columns))
    if data.stat().st_size < order.stream_mb * 10**6:
        read, found = own.read(place, order.recipe)
    else:
        print(f"{data} streams: it has at least --stream_mb {order.stream_mb} MB.")
        folder = stack.enter_context(publish.hidden_folder(order.models))
        read, found = own.stream(place, order.recipe, folder)
    console = Console()
    # Where nobody sets a width, a log's lines may be longer than the 80 of old terminals.
    inference.show(found, read, console if console.is_terminal else Console(width=_LOG_WIDTH))
    return read


def _fingerprint(order: Order, data: bytes | Path, described: bytes) -> fingerprint.Fingerprint:
    try:
        return fingerprint.take(order.recipe, data, described)
    except OSError as error:
        raise TableError(str(order.data), [f"{error.strerror}"]) from error


def _content(data: Path) -> bytes:
    try:
        return data.read_bytes()
    except OSError as error:
        raise TableError(str(data), [f"{error.strerror}"]) from error


def _already_made(model: Path, made_from: fingerprint.Fingerprint) -> Path | None:
    """The newest version, if it is whole and was made from the same."""
    newest = publish.newest(model)
    if newest is None:
        return None
    try:
        described = contract.read(newest)
        if described is None or fingerprint.of(described) != made_from:
            return None
        contract.verify(newest, described)
    except contract.ContractError as error:
        print(f"{newest} is damaged ({error}): training a new version.")
        return None
    return newest


def _train(order: Order, table: Table, made_from: fingerprint.Fingerprint) -> None:
    features = ", ".join(table.split.train.features)
    print(f"Training {order.name} on {features}: {table.rows} {table.schema.rows}.")
    sys.stdout.flush()
    with chatter.hushed():
        from rich.console import Console  # noqa: PLC0415

        from training.run import run  # noqa: PLC0415

        published = run(order, table, made_from, Console())
    _tell(published.metrics, table.schema)
    for it in published.intervals.levels if published.intervals else ():
        seen = it.test
        print(
            f"{it.level:.0%} intervals hold {seen.share:.1%} of them "
            f"({seen.low:.1%} to {seen.high:.1%}), on average {_width(seen.width)} wide"
        )
    print(f"Exported models differ from Keras by at most {max(published.agreement.values()):.1e}.")
    print(f"Published {published.version}")
    print(f"Report    {published.page}")


def _tell(metrics: Metrics, schema: Schema) -> None:
    print(f"{f'on the test {schema.rows}':20}{'MSE':>8}{'MAE':>8}{'R2':>8}")
    for predictor, title in (
        ("network", "network"),
        ("linear", "linear regression"),
        ("mean", "predict the mean"),
    ):
        one = metrics["test"][predictor]
        shown = "".join(f" {_figure(one[it]):>7}" for it in ("mse", "mae"))
        print(f"{title:20}{shown}{one['r2']:8.3f}")


def _width(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.3g}"


def _figure(value: float) -> str:
    """Two decimals, or four digits where two decimals would say too little or too much."""
    return f"{value:.2f}" if _PLAIN_FROM <= value < _PLAIN_TO else f"{value:.4g}"


def _stop(number: int, _frame: object) -> NoReturn:
    print("Stopped.", file=sys.stderr)
    sys.exit(128 + number)


def _leave(code: int) -> NoReturn:
    """End with an exit code; a run that was stopped ends at once.

    Its own cleaning up is done by then, while TensorFlow's threads may be at work still,
    and have been seen to crash the interpreter's ordinary end.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if code > _SIGNALLED:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    try:
        _leave(main(sys.argv[1:]))
    except SystemExit as stop:
        _leave(stop.code if isinstance(stop.code, int) else 1)
