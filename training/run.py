"""One training run from table to published version, put together."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from service import contract
from training import agreement, coverage, describe, export, publish, report, tensorboard
from training.evaluate import Metrics, Predictor, evaluate, require_better_than_mean
from training.fit import History, fit
from training.preparation import prepare
from training.progress import both, watch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray
    from rich.console import Console

    from training.columns import Column, Schema
    from training.conformal import Intervals
    from training.coverage import Found
    from training.fingerprint import Fingerprint
    from training.flags import Order
    from training.preparation import Preparation
    from training.progress import Watcher
    from training.recipe import Recipe
    from training.split import Split
    from training.table import Table


@dataclass(frozen=True)
class Published:
    """What a run made.

    Attributes:
        version: The version's folder.
        metrics: How good it is.
        intervals: Its intervals, and how often the truth lies within.
        agreement: How far the exported models stray from Keras, in the target's unit, by place.
    """

    version: Path
    metrics: Metrics
    intervals: contract.Intervals | None
    agreement: dict[str, float]

    @property
    def page(self) -> Path:
        """The report."""
        return self.version / contract.REPORT / report.PAGE


@dataclass(frozen=True)
class _Trained:
    model: Any
    split: Split
    prepared: Preparation
    history: History
    metrics: Metrics

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return _predictor(self.model)(batch).astype(np.float32)


def run(order: Order, table: Table, made_from: Fingerprint, console: Console) -> Published:
    """Train, check, and publish.

    Args:
        order: How to train, and where to publish.
        table: The checked table.
        made_from: The fingerprint to store.
        console: Where progress is shown.

    Raises:
        RecipeError: The recipe is not for this table.
        DivergedError: The loss was no longer a number.
        NotBetterError: The network is no better than predicting the mean.
        DisagreementError: The exported models answer differently from Keras.
        PublishError: The models folder cannot be written.
    """
    # The folder first: whoever may not write there learns it before the training.
    with publish.hidden_folder(order.model) as folder:
        trained = _train(order, table, console)
        require_better_than_mean(trained.metrics)
        with console.status("finding how wide the intervals are"):
            found = _find_intervals(order.recipe, table, trained)
        measured = _build(order, table.schema, trained, found, made_from, folder)
        version = publish.publish(folder, order.model)
    return Published(version, trained.metrics, found.described, measured)


def _train(order: Order, table: Table, console: Console) -> _Trained:
    recipe, rows = order.recipe, table.split
    prepared = prepare(recipe, table.schema, rows.train)
    with watch(recipe.epochs, console) as shown, _logs(order.tensorboard) as logged:
        model, history = fit(recipe, rows, both(shown, logged), prepared, table.feed)
    metrics = evaluate(_predictor(model), rows, prepared.encoding)
    return _Trained(model, rows, prepared, history, metrics)


def _find_intervals(recipe: Recipe, table: Table, trained: _Trained) -> Found:
    rows = trained.split
    predicted = trained.predict(rows.test.batch)
    minimum = table.schema.minimum
    if table.schema.is_scaled and len(rows.train.frame) > coverage.MOST_ROWS:
        return coverage.of_unseen(predicted, rows.test.prices, minimum)
    return coverage.find(recipe, rows, predicted, trained.prepared, minimum)


def _logs(folder: Path | None) -> AbstractContextManager[Watcher]:
    if folder is None:
        return nullcontext(lambda *_: None)
    return tensorboard.logs(folder)


def _predictor(model: Any) -> Predictor:
    return lambda batch: np.asarray(model.predict(batch, verbose=0))[:, 0]


def _build(
    order: Order,
    schema: Schema,
    trained: _Trained,
    found: Found,
    made_from: Fingerprint,
    folder: Path,
) -> dict[str, float]:
    """Write a whole version into the hidden folder; its contract, with all checksums, last."""
    rows, tolerance = trained.split, trained.prepared.tolerance
    columns = schema.of(rows.train.features)
    golden = describe.golden_rows(rows.train, rows.test)
    export.write_saved_model(trained.model, columns, folder, found.intervals)
    export.write_litert(folder, columns, found.intervals)
    export.write_warm_up(order.name, rows.train.batch, folder)
    measured = _measure(trained, columns, found.intervals, golden, folder)
    knob = order.recipe.tolerance if schema.is_scaled else None
    agreement.require(measured, tolerance, schema.unit, knob)
    predicted = trained.predict(rows.train.batch)
    made = describe.Made(
        order.name, schema, rows.train, predicted, tolerance, trained.metrics, made_from
    )
    described = describe.contract(made, describe.lineage(order.data.name, made_from))
    described = msgspec.structs.replace(described, intervals=found.described)
    asked = trained.predict(rows.test.batch)
    story = report.Story(described, schema, rows, trained.history, asked, found.test, measured)
    report.write(story, folder / contract.REPORT)
    predictions = trained.predict(golden.astype(np.float32))
    contract.write(folder, described, describe.golden(golden, predictions, found.intervals))
    return measured


def _measure(
    trained: _Trained,
    columns: Sequence[Column],
    intervals: Intervals,
    golden: NDArray[np.float64],
    folder: Path,
) -> dict[str, float]:
    batch = np.vstack([trained.split.test.batch, golden.astype(np.float32)])
    prices = trained.predict(batch)
    return agreement.measure(folder, columns, batch, prices, intervals.outputs(prices))
