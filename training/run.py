"""One training run from table to published version, put together."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from service import contract
from training import (
    agreement,
    background,
    card,
    coverage,
    data_card,
    describe,
    export,
    gate,
    labels,
    measures,
    publish,
    report,
    signing,
    tensorboard,
)
from training.comparison import Version
from training.evaluate import Metrics, Predictor, evaluate, require_better_than_mean
from training.fit import History, fit
from training.preparation import prepare
from training.progress import both, watch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray
    from rich.console import Console

    from service.contract import Contract, Gate
    from training.columns import Schema
    from training.coverage import Found
    from training.fingerprint import Fingerprint
    from training.flags import Order
    from training.preparation import Preparation
    from training.progress import Watcher
    from training.recipe import Recipe
    from training.split import Split
    from training.table import Table


@dataclass(frozen=True)
class Built:
    """A version that is complete and not published yet.

    Attributes:
        metrics: How good it is.
        intervals: Its intervals, and how often the truth lies within.
        agreement: How far the exported models stray from Keras, in that unit, by place.
        gate: How it did beside the stable version; None where they were not compared.
        unit: The target's.
    """

    metrics: Metrics
    intervals: contract.Intervals | None
    agreement: dict[str, float]
    gate: Gate | None
    unit: str


@dataclass(frozen=True)
class Published(Built):
    """What a run made.

    Attributes:
        version: The version's folder.
        labels: What is stable and candidate now.
    """

    version: Path
    labels: dict[str, int]

    @property
    def page(self) -> Path:
        """The report."""
        return self.version / contract.REPORT / report.PAGE


@dataclass(frozen=True)
class _Trained:
    model: Any
    schema: Schema
    split: Split
    prepared: Preparation
    history: History
    metrics: Metrics

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return _predictor(self.model)(batch).astype(np.float32)

    @property
    def golden(self) -> NDArray[np.float64]:
        return describe.golden_rows(self.split.train, self.split.test)


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
        NotChosenError: It is not better than the stable version.
        SigningError: It cannot be signed.
        PublishError: The models folder cannot be written.
        LabelsError: What is candidate cannot be written down.
    """
    # The folder first: whoever may not write there learns it before the training.
    with publish.hidden_folder(order.model) as folder:
        built = build(order, table, made_from, console, folder)
        if order.sign is not None:
            signing.sign(folder, order.sign)
        version = publish.publish(folder, order.model)
    labelled = labels.published(order.models, order.name, int(version.name))
    return Published(**vars(built), version=version, labels=labelled.labels)


def build(
    order: Order,
    table: Table,
    made_from: Fingerprint,
    console: Console,
    folder: Path,
    *,
    judged: bool = True,
) -> Built:
    """Train, check, and write a whole version into a folder.

    Args:
        order: How to train.
        table: The checked table.
        made_from: The fingerprint to store.
        console: Where progress is shown.
        folder: An empty folder.
        judged: Whether it must be better than the stable version, where there is one.

    Raises:
        TrainingError: Nothing came of it; see ``run``.
    """
    trained = _train(order, table, console)
    require_better_than_mean(trained.metrics)
    with console.status("finding how wide the intervals are"):
        found = _find_intervals(order.recipe, table, trained)
    measured = _export(order, trained, found, folder)
    described = _describe(order, trained, found, made_from)
    stable = labels.stable(order.model) if judged else None
    if stable is not None:
        described = _judge(order, table, stable, folder, described)
    _tell(order, trained, found, described, folder, measured)
    judged_as, unit = described.lineage.gate, described.target.unit
    return Built(trained.metrics, found.described, measured, judged_as, unit)


def _train(order: Order, table: Table, console: Console) -> _Trained:
    recipe, rows = order.recipe, table.split
    prepared = prepare(recipe, table.schema, rows.train)
    with watch(recipe.epochs, console) as shown, _logs(order.tensorboard) as logged:
        model, history = fit(recipe, rows, both(shown, logged), prepared, table.feed)
    metrics = evaluate(_predictor(model), rows, prepared.encoding)
    return _Trained(model, table.schema, rows, prepared, history, metrics)


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


def _export(order: Order, trained: _Trained, found: Found, folder: Path) -> dict[str, float]:
    """Write the network in all its forms, and check that they agree."""
    schema = trained.schema
    columns = schema.of(trained.split.train.features)
    export.write_saved_model(trained.model, columns, folder, found.intervals)
    export.write_litert(folder, columns, found.intervals)
    export.write_warm_up(order.name, trained.split.train.batch, folder)
    batch = np.vstack([trained.split.test.batch, trained.golden.astype(np.float32)])
    prices = trained.predict(batch)
    measured = agreement.measure(folder, columns, batch, prices, found.intervals.outputs(prices))
    knob = order.recipe.tolerance if schema.is_scaled else None
    agreement.require(measured, trained.prepared.tolerance, schema.unit, knob)
    return measured


def _describe(order: Order, trained: _Trained, found: Found, made_from: Fingerprint) -> Contract:
    """What the version says of itself, but for its place among other versions."""
    train, test = trained.split.train, trained.split.test
    made = describe.Made(
        order.name,
        trained.schema,
        train,
        trained.predict(train.batch),
        trained.prepared.tolerance,
        trained.metrics,
        made_from,
    )
    described = describe.contract(made, describe.lineage(order.data.name, made_from))
    known = data_card.read(order.data)
    kinds = measures.kinds(test.frame, test.prices, () if known is None else known.groups)
    slices = measures.slices(kinds, test.prices, trained.predict(test.batch))
    return msgspec.structs.replace(described, intervals=found.described, slices=tuple(slices))


def _judge(order: Order, table: Table, stable: Path, folder: Path, described: Contract) -> Contract:
    """The contract with how the version did beside the stable one."""
    new = Version("the new network", folder, described)
    judged = gate.judge(new, stable, table, order.rules)
    lineage = msgspec.structs.replace(described.lineage, parent=int(stable.name), gate=judged)
    return msgspec.structs.replace(described, lineage=lineage)


def _tell(
    order: Order,
    trained: _Trained,
    found: Found,
    described: Contract,
    folder: Path,
    measured: dict[str, float],
) -> None:
    """Write report, card and golden rows; the contract, with all checksums, last."""
    known = data_card.read(order.data)
    predicted = trained.predict(trained.split.test.batch)
    story = report.Story(
        described,
        trained.schema,
        trained.split,
        trained.history,
        predicted,
        found.test,
        measured,
        known,
    )
    report.write(story, folder / contract.REPORT)
    contract.write_held_out(folder, describe.held_out(trained.split.test, predicted))
    (folder / contract.CARD).write_text(card.render(described, known), encoding="utf-8")
    contract.write_background(folder, background.background(trained.split.train))
    golden = trained.golden
    predictions = trained.predict(golden.astype(np.float32))
    contract.write(folder, described, describe.golden(golden, predictions, found.intervals))
