"""Predictions that wait for their true price, and those that have it: one file for all workers.

SQLite keeps it, so that a price may come to another worker than the prediction did, or after the
service has been started anew. Both tables are bounded: the oldest rows go first.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FILE: Final = "feedback.sqlite"
# Rows on which the figures rest, of each version the latest.
LATEST: Final = 1000
_WAIT_S: Final = 10.0
_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS predictions (
  id INTEGER PRIMARY KEY, request_id TEXT NOT NULL, row INTEGER NOT NULL, model TEXT NOT NULL,
  version INTEGER NOT NULL, time_s REAL NOT NULL, features BLOB NOT NULL, price REAL NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS prediction ON predictions (model, request_id, row);
CREATE TABLE IF NOT EXISTS truths (
  id INTEGER PRIMARY KEY, request_id TEXT NOT NULL, row INTEGER NOT NULL, model TEXT NOT NULL,
  version INTEGER NOT NULL, time_s REAL NOT NULL, features BLOB NOT NULL, price REAL NOT NULL,
  lower REAL, upper REAL, truth REAL NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS truth ON truths (model, request_id, row);
CREATE INDEX IF NOT EXISTS version ON truths (model, version, id);
CREATE TABLE IF NOT EXISTS columns (
  model TEXT NOT NULL, version INTEGER NOT NULL, features TEXT NOT NULL, target TEXT NOT NULL,
  PRIMARY KEY (model, version));
"""
_FIND: Final = """
SELECT model, version, time_s, features, price FROM predictions
WHERE model = :model AND request_id = :request_id AND row = :row
UNION ALL
SELECT model, version, time_s, features, price FROM truths
WHERE model = :model AND request_id = :request_id AND row = :row
"""
_FIGURES: Final = """
SELECT count(*), avg(abs(price - truth)), avg(price - truth), avg(truth BETWEEN lower AND upper)
FROM (SELECT * FROM truths WHERE model = ? AND version = ? ORDER BY id DESC LIMIT ?)
"""


class Place(NamedTuple):
    """Where a prediction stands: which request, and which of its rows."""

    request_id: str
    row: int


class Prediction(NamedTuple):
    """A prediction that may get its true price.

    Attributes:
        place: Its request and row.
        model: The model.
        version: Its version.
        time_s: When, seconds since 1970.
        features: float32 ``[features]``, as bytes.
        price: What was predicted.
    """

    place: Place
    model: str
    version: int
    time_s: float
    features: bytes
    price: float


class Truth(NamedTuple):
    """A prediction with its true price.

    Attributes:
        prediction: The prediction.
        lower: The interval's lower end; None without one.
        upper: Its upper end.
        truth: The true price.
    """

    prediction: Prediction
    lower: float | None
    upper: float | None
    truth: float


class Figures(NamedTuple):
    """How good a version's latest predictions turned out to be.

    Attributes:
        rows: On how many rows this rests.
        mae: Mean absolute error, in the target's unit.
        bias: Mean of prediction less truth.
        coverage: Share of truths within their interval; None without intervals.
    """

    rows: int
    mae: float | None
    bias: float | None
    coverage: float | None


class Columns(NamedTuple):
    """What a version's columns are called.

    Attributes:
        features: Names of the features, in their order.
        target: Name of the target.
    """

    features: tuple[str, ...]
    target: str


class FeedbackStore:
    """The file; threads and processes may share it.

    Args:
        folder: Where it lies; made if it is not there.
        most_rows: Predictions that are kept, and truths.
    """

    def __init__(self, folder: Path, most_rows: int) -> None:
        self._path = folder / FILE
        self._most_rows = most_rows

    def prepare(self) -> None:
        """Make the file, if it is not there.

        Raises:
            OSError: The folder cannot be written.
            sqlite3.Error: The file cannot be, or is something else.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as connection:
            connection.executescript(_SCHEMA)

    def keep(
        self, predictions: Iterable[Prediction], columns: Mapping[tuple[str, int], Columns]
    ) -> None:
        """Keep predictions, and what the columns of their versions are called.

        Raises:
            sqlite3.Error: The file cannot be written.
        """
        rows = [(*it.place, *it[1:]) for it in predictions]
        known = [(*key, json.dumps(it.features), it.target) for key, it in columns.items()]
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO predictions "
                "(request_id, row, model, version, time_s, features, price) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            connection.executemany("INSERT OR REPLACE INTO columns VALUES (?, ?, ?, ?)", known)
            self._bound(connection, "predictions")

    def find(self, model: str, places: Iterable[Place]) -> dict[Place, Prediction]:
        """The predictions at these places; what has its truth already is there as well."""
        found = {}
        with self._connected() as connection:
            for place in places:
                asked = {"model": model, **place._asdict()}
                row = connection.execute(_FIND, asked).fetchone()
                if row is not None:
                    found[place] = Prediction(place, *row)
        return found

    def join(self, truths: Iterable[Truth]) -> None:
        """Keep predictions with their true prices; a later truth takes an earlier one's place."""
        rows = [(*it.prediction.place, *it.prediction[1:], *it[1:]) for it in truths]
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO truths (request_id, row, model, version, time_s, "
                "features, price, lower, upper, truth) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            self._bound(connection, "truths")

    def figures(self, model: str, version: int) -> Figures:
        """How good a version's ``LATEST`` predictions with a truth are."""
        with self._connected() as connection:
            return Figures(*connection.execute(_FIGURES, (model, version, LATEST)).fetchone())

    def columns(self, model: str) -> dict[int, Columns]:
        """What the columns of a model's versions are called, by version."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT version, features, target FROM columns WHERE model = ? ORDER BY version",
                (model,),
            ).fetchall()
        return {version: Columns(tuple(json.loads(it)), target) for version, it, target in rows}

    def rows(self, model: str, version: int) -> Iterator[tuple[NDArray[np.float32], float]]:
        """The features of a version's predictions that have a truth, each with it."""
        with self._connected() as connection:
            for features, truth in connection.execute(
                "SELECT features, truth FROM truths WHERE model = ? AND version = ? ORDER BY id",
                (model, version),
            ):
                yield np.frombuffer(features, np.float32), truth

    def _bound(self, connection: sqlite3.Connection, table: str) -> None:
        connection.execute(
            f"DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - ?",  # noqa: S608 - a name of ours
            (self._most_rows,),
        )

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as connection:
            # What a crash of the machine may cost is a moment's predictions.
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection, connection:
            yield connection


def features_of(predictions: Sequence[Prediction]) -> NDArray[np.float32]:
    """The features of predictions of one version, ``[n, features]``."""
    return np.stack([np.frombuffer(it.features, np.float32) for it in predictions])
