"""``python -m training``: train the regressor and publish its next version.

Exit codes: 0 published, or already made from the same; 1 nothing published, with the
reason; 2 a flag is wrong; 130 and 143 stopped by Ctrl-C and SIGTERM. What else may be done
with versions, ``training.commands`` knows.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NoReturn

from service import contract
from training import (
    chatter,
    commands,
    fingerprint,
    flags,
    labels,
    publish,
    reading,
    signing,
    stopping,
)
from training.errors import NotChosenError, TableError, TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from training.columns import Schema
    from training.distributed.team import Team
    from training.evaluate import Metrics
    from training.flags import Order
    from training.run import Published
    from training.table import Table


_PLAIN_FROM, _PLAIN_TO = 0.1, 10_000
_SIGNALLED: Final = 128  # exit codes above are 128 and a signal's number


def main(arguments: list[str]) -> int:
    """Run the command.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit code.
    """
    signal.signal(signal.SIGTERM, _stop)
    try:
        if arguments[:1] and arguments[0] in commands.COMMANDS:
            return commands.main(arguments)
        return _train_and_publish(flags.parse(arguments))
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def _train_and_publish(order: Order) -> int:
    try:
        return _obey(order)
    except TrainingError as error:
        kept = order.keep_served and isinstance(error, NotChosenError)
        print(f"{error}\nNothing was published.", file=sys.stdout if kept else sys.stderr)
        return 0 if kept else 1


def _obey(order: Order) -> int:
    if order.cluster is None:
        return _lead(order)
    with chatter.hushed():
        from training.distributed import team  # noqa: PLC0415 - not for one process

        return team.follow(order) if order.cluster.index else _lead(order)


def _lead(order: Order) -> int:
    """Train and publish, alone or as the chief of several workers."""
    labels.adopt(order.models, order.name)
    if order.sign is not None:
        signing.check(order.sign)
    made_from = _fingerprint(order)
    made = None if order.force else _already_made(order.model, made_from)
    team = None if order.cluster is None else _team(order, made_from, made)
    if made is not None:
        print(f"{made} is already made from the same data, recipe and code.")
        print("--force (make train FORCE=1) trains again.")
        return 0
    if "B" in order.recipe.features and not order.recipe.target:
        print("B encodes race: see data/README.md on what this model may not be used for.")
    with ExitStack() as stack:
        read = team.read(stack, sys.stdout) if team else reading.read(order, stack, sys.stdout)
        version = _train(order, read, made_from)
    if team is not None:
        team.end(version)
    return 0


def _team(order: Order, made_from: fingerprint.Fingerprint, made: Path | None) -> Team | None:
    from training.distributed import team  # noqa: PLC0415 - not for one process

    return team.lead(order, made_from, made)


def _fingerprint(order: Order) -> fingerprint.Fingerprint:
    try:
        return reading.fingerprint_of(order)
    except OSError as error:
        raise TableError(str(error.filename), [f"{error.strerror}"]) from error


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


def _train(order: Order, table: Table, made_from: fingerprint.Fingerprint) -> Path:
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
    for line in _choice(published):
        print(line)
    print(f"Published {published.version}")
    print(f"Report    {published.page}")
    return published.version


def _choice(published: Published) -> list[str]:
    """How it did beside the stable version, and what it is now."""
    from training import gate  # noqa: PLC0415 - heavy

    judged, labelled = published.gate, published.labels
    lines = []
    if judged is not None:
        better = "Better" if judged.passed else "Not better, and published by force"
        lines.append(f"{better}: {gate.say(judged, published.unit)}.")
    if labelled[labels.CANDIDATE] != labelled[labels.STABLE]:
        lines.append(
            f"Version {labelled[labels.CANDIDATE]} is candidate, version "
            f"{labelled[labels.STABLE]} stable; python -m training promote (make promote) "
            "makes the candidate stable."
        )
    return lines


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
    and have been seen to crash the interpreter's ordinary end. So does one that trained
    together with others, to whom they may be listening.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if code > _SIGNALLED or "training.distributed.collectives" in sys.modules:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    stopping.insist()
    try:
        _leave(main(sys.argv[1:]))
    except SystemExit as stop:
        _leave(stop.code if isinstance(stop.code, int) else 1)
