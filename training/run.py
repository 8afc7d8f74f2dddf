"""One training run from table to published version, put together."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from service import contract
from training import agreement, describe, export, publish, report, tensorboard
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

    from training.fingerprint import Fingerprint
    from training.flags import Order
    from training.progress import Watcher


@dataclass(frozen=True)
class Published:
    """What a run made.

    Attributes:
        version: The version's folder.
        metrics: How good it is.
        agreement: How far the exported models stray from Keras, thousand USD, by place.
    """

    version: Path
    metrics: Metrics
    agreement: dict[str, float]

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
        PublishError: The models folder cannot be written.
    """
    # The folder first: whoever may not write there learns it before the training.
    with publish.hidden_folder(order.model) as folder:
        trained = _train(order, table, console)
        require_better_than_mean(trained.metrics)
        measured = _build(order, trained, made_from, folder)
        version = publish.publish(folder, order.model)
    return Published(version, trained.metrics, measured)


def _train(order: Order, table: pd.DataFrame, console: Console) -> _Trained:
    recipe = order.recipe
    rows = split(table, recipe.features, recipe.split_seed, recipe.train_share)
    with watch(recipe.epochs, console) as shown, _logs(order.tensorboard) as logged:
        model, history = fit(recipe, rows, both(shown, logged))
    return _Trained(model, rows, history, evaluate(_predictor(model), rows))


def _logs(folder: Path | None) -> AbstractContextManager[Watcher]:
    if folder is None:
        return nullcontext(lambda *_: None)
    return tensorboard.logs(folder)


def _predictor(model: Any) -> Predictor:
    return lambda batch: np.asarray(model.predict(batch, verbose=0))[:, 0]


def _build(
    order: Order, trained: _Trained, made_from: Fingerprint, folder: Path
) -> dict[str, float]:
    """Write a whole version into the hidden folder; its contract, with all checksums, last."""
    recipe, rows = order.recipe, trained.split
    golden = describe.golden_rows(rows.train, rows.test)
    export.write_saved_model(trained.model, recipe.features, folder)
    export.write_litert(folder)
    export.write_warm_up(order.name, rows.train.batch, folder)
    measured = _measure(trained, golden, folder)
    agreement.require(measured, recipe.tolerance)
    lineage = describe.lineage(order.data.name, made_from)
    learned = describe.Learned(rows.train, trained.predict(rows.train.batch))
    described = describe.contract(order.name, recipe, learned, trained.metrics, lineage, made_from)
    predicted = trained.predict(rows.test.batch)
    story = report.Story(described, rows, trained.history, predicted, measured)
    report.write(story, folder / contract.REPORT)
    predictions = trained.predict(golden.astype(np.float32))
    contract.write(folder, described, describe.golden(golden, predictions))
    return measured


def _measure(trained: _Trained, golden: NDArray[np.float64], folder: Path) -> dict[str, float]:
    batch = np.vstack([trained.split.test.batch, golden.astype(np.float32)])
    features = trained.split.test.features
    return agreement.measure(folder, features, batch, trained.predict(batch))
