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
    card,
    coverage,
    data_card,
    describe,
    export,
    gate,
    labels,
    measures,
    network,
    publish,
    report,
    signing,
    tensorboard,
)
from training.columns import TARGET
from training.comparison import Version
from training.evaluate import Metrics, Predictor, evaluate, require_better_than_mean
from training.fit import History, fit
from training.progress import both, watch
from training.split import Split, split

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray
    from rich.console import Console

    from service.contract import Gate
    from training.conformal import Intervals
    from training.coverage import Found
    from training.fingerprint import Fingerprint
    from training.flags import Order
    from training.progress import Watcher


@dataclass(frozen=True)
class Published:
    """What a run made.

    Attributes:
        version: The version's folder.
        contract: What it says of itself.
        agreement: How far the exported models stray from Keras, thousand USD, by place.
        labels: What is stable and candidate now.
    """

    version: Path
    contract: contract.Contract
    agreement: dict[str, float]
    labels: dict[str, int]

    @property
    def gate(self) -> Gate | None:
        """How it did beside the stable version; None where they were not compared."""
        return self.contract.lineage.gate

    @property
    def unit(self) -> str:
        """The target's unit."""
        return TARGET.unit

    @property
    def page(self) -> Path:
        """The report."""
        return self.version / contract.REPORT / report.PAGE


@dataclass(frozen=True)
class _Trained:
    model: Any
    split: Split
    history: History
    metrics: Metrics
    found: Found

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return _predictor(self.model)(batch).astype(np.float32)


def run(order: Order, table: pd.DataFrame, made_from: Fingerprint, console: Console) -> Published:
    """Train, check, and publish.

    Args:
        order: How to train, and where to publish.
        table: The checked table.
        made_from: The fingerprint to store.
        console: Where progress is shown.

    Raises:
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
        described, measured = build(
            order, table, made_from, console, folder, labels.stable(order.model)
        )
        if order.sign is not None:
            signing.sign(folder, order.sign)
        version = publish.publish(folder, order.model)
    labelled = labels.published(order.models, order.name, int(version.name))
    return Published(version, described, measured, labelled.labels)


def build(
    order: Order,
    table: pd.DataFrame,
    made_from: Fingerprint,
    console: Console,
    folder: Path,
    stable: Path | None,
) -> tuple[contract.Contract, dict[str, float]]:
    """Train, check, and write a whole version into a folder.

    Args:
        order: How to train.
        table: The checked table.
        made_from: The fingerprint to store.
        console: Where progress is shown.
        folder: An empty folder.
        stable: The version that it must be better than; None for none.

    Returns:
        What the version says of itself, and how far the exported models stray from Keras.
    """
    trained = _train(order, table, console)
    measured = _export(order, trained, folder)
    described = _describe(order, trained, made_from)
    if stable is not None:
        new = Version("the new network", folder, described)
        judged = gate.judge(new, stable, table, order.rules)
        lineage = msgspec.structs.replace(described.lineage, parent=int(stable.name), gate=judged)
        described = msgspec.structs.replace(described, lineage=lineage)
    _tell(order, trained, described, measured, folder)
    return described, measured


def _train(order: Order, table: pd.DataFrame, console: Console) -> _Trained:
    recipe = order.recipe
    rows = split(table, recipe.features, recipe.split_seed, recipe.train_share)
    with watch(recipe.epochs, console) as shown, _logs(order.tensorboard) as logged:
        model, history = fit(recipe, rows, both(shown, logged))
    metrics = evaluate(_predictor(model), rows)
    require_better_than_mean(metrics)
    with console.status("finding how wide the intervals are"):
        predicted = _predictor(model)(rows.test.batch).astype(np.float32)
        found = coverage.find(recipe, rows, predicted, network.unit(recipe))
    return _Trained(model, rows, history, metrics, found)


def _logs(folder: Path | None) -> AbstractContextManager[Watcher]:
    if folder is None:
        return nullcontext(lambda *_: None)
    return tensorboard.logs(folder)


def _predictor(model: Any) -> Predictor:
    return lambda batch: np.asarray(model.predict(batch, verbose=0))[:, 0]


def _export(order: Order, trained: _Trained, folder: Path) -> dict[str, float]:
    """Write the network in all its forms, and check that they agree."""
    intervals = trained.found.intervals
    export.write_saved_model(trained.model, order.recipe.features, folder, intervals)
    export.write_litert(folder, intervals)
    export.write_warm_up(order.name, trained.split.train.batch, folder)
    measured = _measure(trained, intervals, _golden(trained), folder)
    agreement.require(measured, order.recipe.tolerance)
    return measured


def _describe(order: Order, trained: _Trained, made_from: Fingerprint) -> contract.Contract:
    """What the version says of itself, but for its place among other versions."""
    train, test, known = trained.split.train, trained.split.test, data_card.read(order.data)
    described = describe.contract(
        order.name,
        order.recipe,
        describe.Learned(train, trained.predict(train.batch)),
        trained.metrics,
        describe.lineage(order.data.name, made_from),
        made_from,
    )
    kinds = measures.kinds(test.frame, test.prices, () if known is None else known.groups)
    slices = measures.slices(kinds, test.prices, trained.predict(test.batch))
    return msgspec.structs.replace(
        described, slices=tuple(slices), intervals=trained.found.described
    )


def _tell(
    order: Order,
    trained: _Trained,
    described: contract.Contract,
    measured: dict[str, float],
    folder: Path,
) -> None:
    """Write report, card and golden rows; the contract, with all checksums, last."""
    rows, found, known = trained.split, trained.found, data_card.read(order.data)
    predicted = trained.predict(rows.test.batch)
    story = report.Story(described, rows, trained.history, predicted, found.test, measured, known)
    report.write(story, folder / contract.REPORT)
    (folder / contract.CARD).write_text(card.render(described, known), encoding="utf-8")
    golden = _golden(trained)
    predictions = trained.predict(golden.astype(np.float32))
    contract.write(folder, described, describe.golden(golden, predictions, found.intervals))


def _golden(trained: _Trained) -> NDArray[np.float64]:
    return describe.golden_rows(trained.split.train, trained.split.test)


def _measure(
    trained: _Trained, intervals: Intervals, golden: NDArray[np.float64], folder: Path
) -> dict[str, float]:
    batch = np.vstack([trained.split.test.batch, golden.astype(np.float32)])
    features = trained.split.test.features
    prices = trained.predict(batch)
    return agreement.measure(folder, features, batch, prices, intervals.outputs(prices))
