"""True prices for what was predicted, joined to it by request id, and the error that they show."""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.contract import LOWER, UPPER
from service.errors import HearthError, InvalidRequest
from service.monitoring.backlog import Backlog
from service.monitoring.described import Described, describe
from service.monitoring.feedback_store import (
    Columns,
    FeedbackStore,
    Figures,
    Place,
    Prediction,
    Truth,
    features_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from service.exchange import Exchange
    from service.repository.version import ModelVersion

INTERVAL: Final = "interval"
KEPT, DROPPED, FAILED = "kept", "dropped", "failed"
_MOST_TRUTHS: Final = 10_000
_VERSION: Final = ("model", "version")
_GAUGES: Final[dict[str, tuple[str, Callable[[Figures], float | None]]]] = {
    "hearth_feedback_rows": ("Latest predictions with a true price.", lambda it: it.rows),
    "hearth_feedback_mae": ("Their mean absolute error, in the target's unit.", lambda it: it.mae),
    "hearth_feedback_bias": ("Their mean of prediction less truth.", lambda it: it.bias),
    "hearth_feedback_interval_coverage": (
        "Share of true prices within the prediction's interval.",
        lambda it: it.coverage,
    ),
}

_log: Final = logging.getLogger("hearth.feedback")


class Given(msgspec.Struct, frozen=True):
    """A true price.

    Attributes:
        place: Whose.
        price: The price.
    """

    place: Place
    price: float


class Joined(msgspec.Struct, frozen=True):
    """What came of true prices.

    Attributes:
        matched: How many predictions have one now.
        unmatched: The places at which there is no prediction, or no longer.
    """

    matched: int
    unmatched: list[dict[str, Any]]


class Feedback:
    """Keeps predictions, and joins true prices to them.

    Args:
        store: Where.
        left_out: Features that are not to be kept.
        kept: Told of a model, what its predictions came to, and how many.
        joined: Told of a model, whether its true prices found predictions, and how many.
    """

    def __init__(
        self,
        store: FeedbackStore,
        left_out: Iterable[str],
        kept: Callable[[str, str, int], None],
        joined: Callable[[str, str, int], None],
    ) -> None:
        self._store = store
        self._left_out = frozenset(left_out)
        self._tell_kept = kept
        self._tell_joined = joined
        self._backlog: Backlog[tuple[float, Exchange]] = Backlog(
            "feedback", self._keep, lambda: None
        )

    def observe(self, exchanges: Sequence[Exchange]) -> None:
        """Let predictions wait to be kept; see ``Observer``."""
        now_s = time.time()
        for exchange in exchanges:
            if not self._backlog.put((now_s, exchange)):
                self._tell_kept(exchange.model, DROPPED, exchange.rows)
        self._backlog.wake()

    def close(self) -> None:
        """Keep what waits."""
        self._backlog.close()

    def join(
        self, model: str, given: Sequence[Given], find: Callable[[int], ModelVersion]
    ) -> Joined:
        """Join true prices to predictions.

        Args:
            model: The model that was asked.
            given: The true prices.
            find: A version of the model by its number, for its intervals; it may raise a
                ``HearthError``.
        """
        prices = {it.place: it.price for it in given}
        found = self._store.find(model, prices)
        by_version: dict[int, list[Prediction]] = {}
        for prediction in found.values():
            by_version.setdefault(prediction.version, []).append(prediction)
        truths = []
        for number, several in by_version.items():
            ends = _intervals(several, find, number)
            truths += [
                Truth(it, low, high, prices[it.place])
                for it, (low, high) in zip(several, ends, strict=True)
            ]
        self._store.join(truths)
        missing = [it for it in prices if it not in found]
        self._tell_joined(model, "matched", len(found))
        self._tell_joined(model, "unmatched", len(missing))
        return Joined(len(found), [it._asdict() for it in missing])

    def _keep(self, waiting: list[tuple[float, Exchange]]) -> None:
        """Keep predictions; those of versions without a contract are none of feedback's."""
        kept: dict[str, list[Prediction]] = {}
        columns: dict[tuple[str, int], Columns] = {}
        for time_s, exchange in waiting:
            computed = exchange.computed
            contract = None if computed is None else computed.version.contract
            rows = None if contract is None or computed is None else describe(contract, computed)
            if contract is None or rows is None:
                continue
            names = contract.feature_names
            columns[exchange.model, int(exchange.version)] = Columns(names, contract.target.name)
            hidden = np.array([name in self._left_out for name in names])
            shown = Described(np.where(hidden, np.float32(np.nan), rows.features), rows.prices)
            kept.setdefault(exchange.model, []).extend(_predictions(exchange, shown, time_s))
        if kept:
            self._write(kept, columns)

    def _write(
        self, kept: dict[str, list[Prediction]], columns: dict[tuple[str, int], Columns]
    ) -> None:
        outcome = KEPT
        try:
            self._store.keep((it for several in kept.values() for it in several), columns)
        except (sqlite3.Error, OSError) as error:
            outcome = FAILED
            _log.warning("predictions cannot be kept for feedback: %s", error)
        for model, several in kept.items():
            self._tell_kept(model, outcome, len(several))


class FeedbackGauges(Collector):
    """How good served versions turn out to be, worked out when it is asked for.

    Args:
        store: Where true prices are.
        served: The versions that are served.
    """

    def __init__(self, store: FeedbackStore, served: Callable[[], Iterable[ModelVersion]]) -> None:
        self._store = store
        self._served = served

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Work them out now."""
        figures: dict[tuple[str, str], Figures] = {}
        try:
            for version in self._served():
                place = version.model, version.number_text
                figures[place] = self._store.figures(version.model, version.number)
        except sqlite3.Error as error:
            _log.warning("the feedback cannot be read: %s", error)
        for name, (meaning, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, meaning, labels=_VERSION)
            for labels, it in figures.items():
                found = value(it)
                gauge.add_metric(labels, math.nan if found is None else found)
            yield gauge


def parse_feedback(document: Any) -> list[Given]:
    """Read true prices: one object of request id, row and price, or a list under ``feedback``.

    Raises:
        InvalidRequest: Something in it makes no sense; the message says where.
    """
    if not isinstance(document, dict):
        raise InvalidRequest("the body is not an object with request_id and price, or feedback")
    if "feedback" not in document:
        return [_given(document, "")]
    several = document["feedback"]
    if not isinstance(several, list) or len(several) > _MOST_TRUTHS:
        raise InvalidRequest(f"feedback is not a list of up to {_MOST_TRUTHS} objects")
    return [_given(it, f"feedback[{place}]") for place, it in enumerate(several)]


def _predictions(exchange: Exchange, rows: Described, time_s: float) -> Iterator[Prediction]:
    """One for each row of a request."""
    model, version = exchange.model, int(exchange.version)
    prices = rows.prices.tolist()
    for row, (features, price) in enumerate(zip(rows.features, prices, strict=True)):
        if math.isfinite(price):
            place = Place(exchange.request_id, row)
            yield Prediction(place, model, version, time_s, features.tobytes(), price)


def _given(one: Any, place: str) -> Given:
    where = f"{place}." if place else ""
    if not isinstance(one, dict):
        raise InvalidRequest(f"{place} is not an object with request_id, row and price")
    request_id, row = one.get("request_id"), one.get("row", 0)
    price = _number(one.get("price"))
    if not isinstance(request_id, str) or not request_id:
        raise InvalidRequest(f"{where}request_id is not a text: the X-Request-Id of the answer")
    if type(row) is not int or not 0 <= row < 2**31:
        raise InvalidRequest(f"{where}row is not a whole number from 0 on")
    if not math.isfinite(price):
        raise InvalidRequest(f"{where}price is not a finite number")
    return Given(Place(request_id, row), price)


def _number(value: Any) -> float:
    """A number of JSON; NaN for anything else, and for one that no float holds."""
    try:
        return float(value) if type(value) in {int, float} else math.nan
    except OverflowError:
        return math.nan


def _intervals(
    predictions: Sequence[Prediction], find: Callable[[int], ModelVersion], number: int
) -> list[tuple[float | None, float | None]]:
    """The interval of each prediction of a version; none where it cannot be had any more."""
    none: list[tuple[float | None, float | None]] = [(None, None)] * len(predictions)
    try:
        version = find(number)
        if version.contract is None or INTERVAL not in version.executor.signatures:
            return none
        inputs = {version.contract.input: features_of(predictions)}
        outputs = version.predict(INTERVAL, inputs)
    except HearthError:  # it is not served any more, or a feature was left out
        return none
    if not {LOWER, UPPER} <= outputs.keys():
        return none
    return list(zip(outputs[LOWER].tolist(), outputs[UPPER].tolist(), strict=True))
