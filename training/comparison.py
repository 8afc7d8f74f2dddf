"""Two networks on the same rows: which is better, by how much, and whether that is chance.

Each reads its own features from the same rows of one table. Rows that taught neither are
used: where both versions were made from this table, those that both have held out. A version
made from another table may have seen any of these rows, which only speaks for it; then the
other's test rows are used, or all of them if that one was made from another table too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from scipy import stats

from service import contract
from training import measures, split
from training.errors import CompareError
from training.fingerprint import STREAMED
from training.signatures import BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from service.contract import Contract, Estimate, Feature

LEAST_ROWS: Final = 8
_PERMUTATIONS: Final = 9999


@dataclass(frozen=True)
class Version:
    """A version that can be asked.

    Attributes:
        name: What people call it.
        folder: Where it is.
        described: Its contract.
    """

    name: str
    folder: Path
    described: Contract

    def predict(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """Ask its LiteRT model.

        Args:
            rows: Rows of a table that has its features, ``n``.

        Returns:
            ``[n]``, in the target's unit.

        Raises:
            CompareError: The model is missing, or the table lacks a feature.
        """
        path = self.folder / contract.LITERT_MODEL
        if not path.is_file():
            raise CompareError(f"{self.name} has no {contract.LITERT_MODEL}")
        batch = self._batch(rows)
        runner = Interpreter(str(path), num_threads=1).get_signature_runner(BATCH)
        answer = runner(**{self.described.input: batch})[self.described.output]
        return np.asarray(answer, np.float64)

    def test_rows(self, count: int) -> NDArray[np.intp]:
        """Which rows of its table it has not learned from, in the order of its split.

        Args:
            count: How many the table has.

        Raises:
            CompareError: Its recipe does not say how they were split.
        """
        recipe = self.described.recipe
        if recipe.get(STREAMED):
            raise CompareError(f"{self.name} streamed its table, and drew its test rows otherwise")
        try:
            shuffled = split.order(count, recipe["split_seed"])
            return shuffled[int(count * recipe["train_share"]) :]
        except (KeyError, TypeError, ValueError) as error:
            raise CompareError(f"{self.name} does not say how its rows were split") from error

    def _batch(self, rows: pd.DataFrame) -> NDArray[np.float32]:
        names = list(self.described.feature_names)
        missing = [name for name in names if name not in rows]
        if missing:
            raise CompareError(f"{self.name} reads {', '.join(missing)}, which the table lacks")
        columns = [_numbers(rows[it.name], it) for it in self.described.features]
        return np.column_stack(columns).astype(np.float32)


def _numbers(column: pd.Series[Any], feature: Feature) -> NDArray[np.float64]:
    """A column as the network reads it: categories as numbers."""
    if not feature.is_category:
        return column.to_numpy(np.float64)
    codes = {name: float(code) for code, name in enumerate(feature.categories)}
    other = float(len(codes))
    values = [codes.get(it, other) if isinstance(it, str) else np.nan for it in column]
    return np.array(values, np.float64)


def open_version(folder: Path) -> Version:
    """Open a published version.

    Args:
        folder: Its folder.

    Raises:
        CompareError: It has no contract, or is damaged, or was not trained here.
    """
    name = f"version {folder.name}"
    try:
        described = contract.read(folder)
        if described is None:
            raise CompareError(f"{name} has no contract")
        contract.verify(folder, described)
    except contract.ContractError as error:
        raise CompareError(f"{name} is damaged: {error}") from error
    if not described.recipe:
        raise CompareError(f"{name} was trained elsewhere, by no recipe that is known here")
    return Version(name, folder, described)


@dataclass(frozen=True)
class Paired:
    """How one network does beside another on the same rows.

    Attributes:
        rows: How many.
        mae: Mean absolute error of the one.
        mae_before: Of the other.
        difference: The one less the other, with its interval: below 0 the one is better.
        p_value: Of the one-sided test that the one is no better.
    """

    rows: int
    mae: float
    mae_before: float
    difference: Estimate
    p_value: float


def held_out(table: pd.DataFrame, data_sha256: str, versions: Sequence[Version]) -> pd.DataFrame:
    """The rows of a table that taught none of some versions, as far as that is known.

    Args:
        table: The table.
        data_sha256: Hash of its bytes.
        versions: Those made from another table do not count.

    Returns:
        The rows, in the order of the first version's split.

    Raises:
        CompareError: They are too few, or the versions predict something else.
    """
    _require_same_target(table, versions)
    known = [it for it in versions if it.described.lineage.data_sha256 == data_sha256]
    tests = [it.test_rows(len(table)) for it in known]
    rows = tests[0] if tests else np.arange(len(table))
    for other in tests[1:]:
        rows = rows[np.isin(rows, other)]
    if len(rows) < LEAST_ROWS:
        raise CompareError(
            f"{len(rows)} rows taught neither version, at least {LEAST_ROWS} are needed"
        )
    return table.iloc[rows]


def pair(
    truth: NDArray[np.floating], one: NDArray[np.floating], other: NDArray[np.floating]
) -> Paired:
    """Compare two networks' absolute errors, row by row.

    Under the hypothesis that both are equally good, which of a row's two errors is whose is
    chance: a permutation test of the mean difference, one-sided, with no assumption on how
    errors are distributed.

    Args:
        truth: ``[n]``.
        one: What the one predicts, ``[n]``.
        other: What the other predicts, ``[n]``.

    References:
        Good, Permutation, Parametric and Bootstrap Tests of Hypotheses (2005), on matched pairs.
    """
    mine, theirs = np.abs(one - truth), np.abs(other - truth)
    difference = measures.mean(mine - theirs)
    return Paired(
        len(truth), float(mine.mean()), float(theirs.mean()), difference, _p_value(mine, theirs)
    )


def _p_value(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    if np.array_equal(mine, theirs):
        return 1.0
    tested = stats.permutation_test(
        (mine, theirs),
        lambda one, other, axis: (one - other).mean(axis=axis),
        permutation_type="samples",
        alternative="less",
        n_resamples=_PERMUTATIONS,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(tested.pvalue)


def _require_same_target(table: pd.DataFrame, versions: Sequence[Version]) -> None:
    targets = [it.described.target.name for it in versions]
    for version, target in zip(versions, targets, strict=True):
        if target != targets[0]:
            raise CompareError(f"{version.name} predicts {target}, the other {targets[0]}")
        if target not in table:
            raise CompareError(f"{version.name} predicts {target}, which the table lacks")
