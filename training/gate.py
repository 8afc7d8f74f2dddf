"""Whether a new network is better than the stable version, so that it may be published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.contract import Gate
from training.comparison import held_out, open_version, pair
from training.errors import CompareError, NotChosenError, TableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from training.comparison import Version
    from training.rules import Rules
    from training.table import Table


def judge(new: Version, stable: Path, table: Table, rules: Rules) -> Gate | None:
    """Compare a new network with the stable version.

    Args:
        new: The new one.
        stable: The stable version's folder.
        table: The table that the new one was made from.
        rules: When it may be published.

    Returns:
        How it did; None where they cannot be compared and it is forced.

    Raises:
        NotChosenError: It is not better, or they cannot be compared, and it is not forced.
    """
    try:
        gate = _compare(new, stable, table, rules)
    except CompareError as error:
        if rules.forced:
            return None
        raise NotChosenError(
            f"it cannot be compared with version {stable.name}, which is stable: {error}\n"
            "--force (make train FORCE=1) publishes it untried."
        ) from error
    if not (gate.passed or rules.forced):
        raise NotChosenError(_refusal(gate, new.described.target.unit))
    return gate


def say(gate: Gate, unit: str) -> str:
    """The outcome in one line.

    Args:
        gate: The outcome.
        unit: The target's.
    """
    change = gate.difference
    interval = (
        "" if change.low is None else f" (95 % interval {change.low:+.3f} to {change.high:+.3f})"
    )
    return (
        f"MAE {gate.mae:.3f} against {gate.mae_before:.3f}{unit and f' {unit}'} of version "
        f"{gate.against} on "
        f"{gate.rows} test rows: {change.value:+.3f}{interval}, p {gate.p_value:.2g}"
    )


def _compare(new: Version, stable: Path, table: Table, rules: Rules) -> Gate:
    before = open_version(stable)
    names = [*new.described.feature_names, *before.described.feature_names]
    rows = held_out(_frame(table, names), _hash(table, new), [new, before])
    truth = rows[new.described.target.name].to_numpy(np.float64)
    paired = pair(truth, new.predict(rows), before.predict(rows))
    return Gate(
        against=int(stable.name),
        rows=paired.rows,
        mae=paired.mae,
        mae_before=paired.mae_before,
        difference=paired.difference,
        p_value=paired.p_value,
        alpha=rules.alpha,
        forced=rules.forced,
    )


def _frame(table: Table, names: Sequence[str]) -> pd.DataFrame:
    """The columns of the table that both read.

    Raises:
        CompareError: One of them is not there.
    """
    if table.frame is None:
        raise CompareError("the table is gone")
    try:
        return table.frame(names)
    except TableError as error:
        raise CompareError(str(error)) from error


def _hash(table: Table, new: Version) -> str:
    """The table's hash; empty where its rows taught neither network, as those of a stream."""
    return "" if table.feed is not None else new.described.lineage.data_sha256


def _refusal(gate: Gate, unit: str) -> str:
    return (
        f"the network is not better than the stable version: {say(gate, unit)}, above --alpha "
        f"{gate.alpha:g}\n--force (make train FORCE=1) publishes it all the same."
    )
