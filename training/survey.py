"""One look over a whole table: what each column holds, and every value that cannot be.

Chunk by chunk, so that the table need not fit into memory. What a column holds is known at
the end alone; until then texts that are no numbers are kept as possible problems.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np
import pandas as pd

from service.contract import CATEGORY, NUMBER, REFUSED
from training.description import Said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

# Texts that say that there is no value, as pandas takes them; but None may be a category.
MISSING: Final = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "<NA>", "#N/A")

# A column of texts is numbers with mistakes if so many of its values are numbers.
_NUMBERS_SHARE: Final = 0.95
# More different texts than this, or in more than half of the rows another, are no categories.
MOST_TEXTS: Final = 1000
_KEPT_PROBLEMS: Final = 100
_SHOWN_CHARACTERS: Final = 40


class Values(NamedTuple):
    """One column of a chunk.

    Attributes:
        numbers: float64; NaN where the value is no number, or missing.
        missing: Where there is none.
        texts: As they stand, without space around them; None of a column of numbers alone.
    """

    numbers: NDArray[np.float64]
    missing: NDArray[np.bool_]
    texts: pd.Series[Any] | None

    @property
    def strange(self) -> NDArray[np.bool_]:
        """Where a text is no number."""
        return np.isnan(self.numbers) & ~self.missing


def values(column: pd.Series[Any]) -> Values:
    """Read a column of a chunk."""
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(np.float64)
        return Values(numbers, np.isnan(numbers), None)
    texts = column.astype(object).str.strip()
    missing = texts.isin(MISSING).to_numpy()
    numbers = pd.to_numeric(texts.mask(missing), errors="coerce").to_numpy(np.float64)
    return Values(numbers, missing, texts)


def as_texts(read: Values) -> NDArray[Any]:
    """A column as categories; None where there is none."""
    written = map(_shortest, read.numbers) if read.texts is None else read.texts
    texts = np.array(list(written), object)
    texts[read.missing] = None
    return texts


def _shortest(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(float(number))


@dataclass
class Look:
    """What one column holds, as far as it was looked at.

    Attributes:
        name: The column's.
        place: What a place is: ``line`` or ``row``.
        said: What is said of it beforehand.
        rows: How many values were looked at.
        missing: How many of them are missing.
        numbers: How many are finite numbers.
        strange: How many are texts that are no numbers.
        minimum: Of the numbers.
        maximum: Of the numbers.
        texts: The different ones, from the first that is no number; one more than may be
            categories at most.
        wrong: What is wrong, by problem.
    """

    name: str
    place: str
    said: Said
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    strange: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    texts: set[str] = field(default_factory=set)
    wrong: dict[str, Wrong] = field(default_factory=dict)

    def add(self, places: NDArray[Any], read: Values) -> None:
        """Look at one more chunk, given the place of each row."""
        finite = read.numbers[np.isfinite(read.numbers)]
        self.rows += len(read.numbers)
        self.missing += int(read.missing.sum())
        self.numbers += len(finite)
        self.strange += int(read.strange.sum())
        if len(finite):
            self.minimum = min(self.minimum, float(finite.min()))
            self.maximum = max(self.maximum, float(finite.max()))
        if (self.strange or self.said.kind == CATEGORY) and len(self.texts) <= MOST_TEXTS:
            self.texts.update(as_texts(read)[~read.missing].tolist())
        for problem, where in self._problems(read):
            self.wrong.setdefault(problem, Wrong()).add(places, where, read)

    def join(self, other: Look) -> None:
        """Take in a look at other rows of the same column."""
        self.rows += other.rows
        self.missing += other.missing
        self.numbers += other.numbers
        self.strange += other.strange
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self.texts |= other.texts
        for problem, wrong in other.wrong.items():
            self.wrong.setdefault(problem, Wrong()).join(wrong)

    @property
    def kind(self) -> str:
        """What it holds: ``number`` or ``category``."""
        if self.said.kind is not None:
            return self.said.kind
        enough = self.numbers >= _NUMBERS_SHARE * (self.numbers + self.strange)
        return NUMBER if enough else CATEGORY

    @property
    def useless(self) -> str:
        """Why nothing can be learned from it; empty where something can."""
        if self.missing == self.rows:
            return "it has no value"
        if self.kind == NUMBER:
            one = f"{self.minimum:g}" if self.minimum == self.maximum else ""
        else:
            one = repr(next(iter(self.texts))) if len(self.texts) == 1 else ""
        if one and not self.missing:
            return f"it is {one} in every row"
        if self.kind == CATEGORY and self.said.kind is None and self._are_texts:
            more = "more than " if len(self.texts) > MOST_TEXTS else ""
            count = min(len(self.texts), MOST_TEXTS)
            return f"it has {more}{count} different texts in {self.rows} rows: no categories"
        return ""

    def problems(self) -> Iterator[tuple[int, str]]:
        """Every value that cannot be, with its place; after many, how many more there are."""
        for problem, wrong in self.wrong.items():
            if self.kind == CATEGORY and problem != _IS_MISSING:
                continue
            for place, text in wrong.shown:
                said = problem if problem == _IS_MISSING else f"is {text}, {problem}"
                yield place, f"{self.place} {place}: {self.name} {said}"
            if wrong.more:
                yield wrong.shown[-1][0], f"and {wrong.more} more of {self.name}: {problem}"

    @property
    def _are_texts(self) -> bool:
        return len(self.texts) > MOST_TEXTS or len(self.texts) > self.rows / 2

    def _problems(self, read: Values) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        infinite = np.isinf(read.numbers)
        yield "not a number", read.strange
        yield "not a finite number", infinite
        if (limits := self._limits) is not None:
            beyond = (read.numbers < limits[0]) | (read.numbers > limits[1])
            unit = f" {self.said.unit}" if self.said.unit else ""
            yield f"outside [{limits[0]:g}, {limits[1]:g}]{unit}", beyond & ~infinite
        if self.said.missing == REFUSED:
            yield _IS_MISSING, read.missing

    @property
    def _limits(self) -> tuple[float, float] | None:
        least, most = self.said.minimum, self.said.maximum
        if least is None and most is None:
            return None
        return (-math.inf if least is None else least, math.inf if most is None else most)


_IS_MISSING: Final = "is missing"


@dataclass
class Wrong:
    """The places and texts of one problem of a column.

    Attributes:
        shown: The first of them.
        more: How many there are beyond.
    """

    shown: list[tuple[int, str]] = field(default_factory=list)
    more: int = 0

    def add(self, places: NDArray[Any], where: NDArray[np.bool_], read: Values) -> None:
        """Keep what there is room for."""
        found = np.flatnonzero(where)
        kept = found[: max(_KEPT_PROBLEMS - len(self.shown), 0)]
        self.shown += [(int(places[row]), _written(read, int(row))) for row in kept]
        self.more += len(found) - len(kept)

    def join(self, other: Wrong) -> None:
        """Take in those of other rows."""
        shown = sorted([*self.shown, *other.shown])
        self.more += other.more + len(shown[_KEPT_PROBLEMS:])
        self.shown = shown[:_KEPT_PROBLEMS]


def _written(read: Values, row: int) -> str:
    """A value as messages show it."""
    if read.texts is None:
        return f"{read.numbers[row]:g}"
    text = str(read.texts.iloc[row])
    cut = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return repr(cut) if np.isnan(read.numbers[row]) else cut


class Survey:
    """One look over a table, chunk by chunk.

    Args:
        names: The columns to look at.
        target: The one of them that is to be predicted; rows without it are left out.
        place: What the index of a chunk counts.
        said: What is said of the columns.

    Attributes:
        looks: What each column holds.
        rows: How many rows have a target.
        dropped: How many have none.
    """

    def __init__(
        self, names: Sequence[str], target: str, place: str, said: Mapping[str, Said]
    ) -> None:
        self.looks = {name: Look(name, place, said.get(name, Said())) for name in names}
        self.rows = 0
        self.dropped = 0
        self._target = target

    def add(self, chunk: pd.DataFrame) -> None:
        """Look at one more chunk."""
        kept = with_target(chunk, self._target)
        self.rows += len(kept)
        self.dropped += len(chunk) - len(kept)
        for name, look in self.looks.items():
            look.add(kept.index.to_numpy(), values(kept[name]))

    def told(self) -> bytes:
        """What was found, for another process to join."""
        return msgspec.msgpack.encode((self.rows, self.dropped, list(self.looks.values())))

    def join(self, told: bytes) -> None:
        """Take in a look at other rows of the same table."""
        rows, dropped, looks = _TOLD.decode(told)
        self.rows += rows
        self.dropped += dropped
        for look in looks:
            self.looks[look.name].join(look)

    def remarks(self) -> list[str]:
        """Columns that hold too many different texts already to be of any use."""
        return [
            name
            for name, look in self.looks.items()
            if len(look.texts) > MOST_TEXTS and look.said.kind is None and look.kind == CATEGORY
        ]

    def problems(self, names: Sequence[str]) -> list[str]:
        """Every value of these columns that cannot be, in the order of the table."""
        found = [it for name in names for it in self.looks[name].problems()]
        return [problem for _, problem in sorted(found, key=lambda it: it[0])]


_TOLD: Final = msgspec.msgpack.Decoder(tuple[int, int, list[Look]])


def with_target(chunk: pd.DataFrame, target: str) -> pd.DataFrame:
    """The rows whose target is not missing."""
    return chunk[~values(chunk[target]).missing]
