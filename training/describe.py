"""What a version says of itself: its contract and its golden rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from service.contract import (
    LOWER,
    UPPER,
    Contract,
    Distribution,
    Feature,
    Golden,
    HeldOut,
    Lineage,
    Target,
)
from training import fingerprint, histogram
from training.signatures import INPUT, OUTPUT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.columns import Column, Schema
    from training.conformal import Intervals
    from training.evaluate import Metrics
    from training.fingerprint import Fingerprint
    from training.split import Rows

_GOLDEN_TEST_ROWS: Final = 10  # and two extremes: a dozen
_HELD_OUT_ROWS: Final = 1000  # as many points as a picture can show


@dataclass(frozen=True)
class Made:
    """A trained network, as far as its version tells.

    Attributes:
        name: The model's name.
        schema: The columns of its table.
        train: The rows it was trained on.
        predicted: What it predicts for them, ``[n]``, in the target's unit.
        tolerance: How far executors' answers may differ, in the target's unit.
        metrics: How good it is.
        stored: What it was made from; its recipe is the one stored.
    """

    name: str
    schema: Schema
    train: Rows
    predicted: NDArray[np.float32]
    tolerance: float
    metrics: Metrics
    stored: Fingerprint


def contract(made: Made, lineage: Lineage) -> Contract:
    """Describe a version.

    Args:
        made: The network.
        lineage: Where it comes from.
    """
    train, target = made.train, made.schema.target
    return Contract(
        model=made.name,
        features=tuple(_feature(it, train) for it in made.schema.of(train.features)),
        target=Target(
            target.name,
            target.meaning,
            target.unit,
            distribution(train.prices),
            distribution(made.predicted),
        ),
        input=INPUT,
        output=OUTPUT,
        tolerance=made.tolerance,
        metrics=made.metrics,
        recipe=made.stored.recipe,
        lineage=lineage,
        files={},
    )


def lineage(data: str, made_from: Fingerprint) -> Lineage:
    """Say where a version comes from, as of now.

    Args:
        data: The table's file name.
        made_from: Hashes and packages.
    """
    return Lineage(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data=data,
        data_sha256=made_from.data_sha256,
        code_sha256=made_from.code_sha256,
        packages=made_from.packages,
        recipe_sha256=fingerprint.hash_recipe(made_from.recipe),
        seed=made_from.recipe.get("seed"),
        commit=fingerprint.commit(),
    )


def distribution(values: NDArray[np.floating]) -> Distribution:
    """Describe how a column's values are distributed.

    Args:
        values: ``[n]``; NaN, which is missing, is passed over. At least one is none.
    """
    values = values[~np.isnan(values)]
    deciles = np.quantile(values, np.linspace(0, 1, 11))
    bounds = histogram.edges(values)
    return Distribution(
        minimum=float(values.min()),
        maximum=float(values.max()),
        mean=float(values.mean()),
        std=float(values.std()),
        median=float(np.median(values)),
        deciles=tuple(float(one) for one in deciles),
        edges=bounds,
        shares=histogram.shares(values, bounds),
        rows=len(values),
    )


def golden_rows(train: Rows, test: Rows) -> NDArray[np.float64]:
    """Choose the rows that every later load must answer as now.

    Args:
        train: Gives the extremes: all features at their least, and all at their greatest.
        test: Gives rows that the network never learned from.

    Returns:
        ``[n, features]``.
    """
    seen = train.frame[list(train.features)].to_numpy(np.float64)
    unseen = test.frame[list(test.features)].to_numpy(np.float64)
    extremes = np.nanmin(seen, axis=0), np.nanmax(seen, axis=0)
    return np.vstack([unseen[:_GOLDEN_TEST_ROWS], *extremes])


def golden(
    rows: NDArray[np.float64], predictions: NDArray[np.float32], intervals: Intervals
) -> Golden:
    """Keep rows with what Keras predicts for them, and their intervals.

    Args:
        rows: ``[n, features]``; NaN is missing.
        predictions: ``[n]``, in the target's unit.
        intervals: How wide they are.
    """
    instances = tuple(tuple(None if np.isnan(one) else float(one) for one in row) for row in rows)
    bounds = {
        signature: tuple(zip(it[LOWER].tolist(), it[UPPER].tolist(), strict=True))
        for signature, it in intervals.outputs(predictions).items()
    }
    return Golden(instances, tuple(float(one) for one in predictions), bounds)


def held_out(test: Rows, predictions: NDArray[np.floating]) -> HeldOut:
    """Keep test rows with what the network predicts for them and what is true.

    Args:
        test: The rows; they lie in a random order, so the first are a sample.
        predictions: ``[n]``, in the target's unit.
    """
    rows = test.frame[list(test.features)].to_numpy(np.float64)[:_HELD_OUT_ROWS]
    return HeldOut(
        tuple(tuple(None if np.isnan(one) else float(one) for one in row) for row in rows),
        tuple(float(one) for one in predictions[:_HELD_OUT_ROWS]),
        tuple(float(one) for one in test.prices[:_HELD_OUT_ROWS]),
    )


def _feature(column: Column, train: Rows) -> Feature:
    return Feature(
        name=column.name,
        meaning=column.meaning,
        unit=column.unit,
        minimum=float(column.minimum),
        maximum=float(column.maximum),
        training=distribution(train.frame[column.name].to_numpy(np.float64)),
        kind=column.kind,
        categories=column.categories,
        missing=column.missing,
    )
