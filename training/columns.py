"""The columns of a table: what each means, its unit, and the values that make sense.

Those of the Boston table are written down here. Their limits are those of the quantity, not
of the 506 tracts: a share ends at 100 %, and no tract has 50 rooms a dwelling. They bound the
table here and requests in the service. Those of any other table are found in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from service.contract import CATEGORY, NUMBER, REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Column:
    """One column of the table.

    In a batch a category is the number of its place in ``categories``, any other category is
    the number after the last, and a value that is missing is NaN.

    Attributes:
        name: As the table's first line has it.
        meaning: One phrase for people.
        unit: The unit of every number in it.
        minimum: The least value that makes sense.
        maximum: The greatest value that makes sense.
        above_minimum: Whether the minimum itself is refused.
        kind: ``number`` or ``category``.
        categories: Those that the network knows, most frequent first.
        fill: What stands for a number that is missing.
        optional: Whether a value may be missing.
    """

    name: str
    meaning: str
    unit: str
    minimum: float
    maximum: float
    above_minimum: bool = False
    kind: str = NUMBER
    categories: tuple[str, ...] = ()
    fill: float = 0.0
    optional: bool = False

    @property
    def limits(self) -> str:
        """The values that make sense, as an interval."""
        bracket = "(" if self.above_minimum else "["
        return f"{bracket}{self.minimum:g}, {self.maximum:g}]"

    @property
    def is_category(self) -> bool:
        """Whether it holds categories, not numbers."""
        return self.kind == CATEGORY

    @property
    def other(self) -> int:
        """The number that stands for every category the network does not know."""
        return len(self.categories)

    @property
    def unknown(self) -> str:
        """A text that is none of the categories."""
        return "?".join(["", *self.categories, ""])

    @property
    def missing(self) -> str:
        """What becomes of a value that is missing: the rule, for people."""
        if not self.optional:
            return REFUSED
        if self.is_category:
            return "a category of its own"
        return f"the median {self.fill:g}, and a sign that it is missing"


@dataclass(frozen=True)
class Schema:
    """The columns that a network may read and the one that it predicts.

    Attributes:
        features: The columns that it may read, by name.
        target: What it predicts.
        row: What one row of the table is.
        price: What people call the target.
        minimum: No target is below this, whatever is asked; None where none is known.
        is_scaled: Whether the network learns the target less its mean, in standard
            deviations; else it learns it as it is.
    """

    features: Mapping[str, Column]
    target: Column
    row: str = "row"
    price: str = "target"
    minimum: float | None = None
    is_scaled: bool = True

    @property
    def rows(self) -> str:
        """What several rows are."""
        return f"{self.row}s"

    @property
    def unit(self) -> str:
        """The target's unit, or what to say where none is known."""
        return self.target.unit or f"units of {self.target.name}"

    def of(self, names: Sequence[str]) -> tuple[Column, ...]:
        """The features of these names."""
        return tuple(self.features[name] for name in names)


# References: Harrison and Rubinfeld, Hedonic housing prices and the demand for clean air,
# Journal of Environmental Economics and Management 5 (1978), table IV.
_ALL: Final = (
    Column("CRIM", "crimes per head of population", "crimes per head", 0, 100),
    Column("ZN", "share of residential land in lots over 25,000 sq ft", "%", 0, 100),
    Column("INDUS", "share of land in non-retail business", "%", 0, 100),
    Column("CHAS", "on the Charles River (1) or not (0)", "indicator", 0, 1),
    Column("NOX", "nitric oxides in the air", "parts per 10 million", 0, 10),
    Column("RM", "average rooms per dwelling", "rooms", 0, 50),
    Column("AGE", "share of owner-occupied homes built before 1940", "%", 0, 100),
    Column("DIS", "weighted distance to five employment centres", "weighted distance", 0, 100),
    Column("RAD", "index of access to radial highways", "index", 0, 100),
    Column("TAX", "property tax per 10,000 USD of value", "USD", 0, 5000),
    Column("PTRATIO", "pupils per teacher", "pupils", 0, 100),
    # 1000 (0 - 0.63)^2 = 396.9 is the greatest value that the formula can give.
    Column("B", "1000 (Bk - 0.63)^2, Bk the share of Black residents", "index", 0, 396.9),
    Column("LSTAT", "share of lower-status population", "%", 0, 100),
)

FEATURES: Final = {column.name: column for column in _ALL}

# Those that a model may read unasked. B encodes race, and is not among them.
OPEN: Final = tuple(name for name in FEATURES if name != "B")

# The census recorded no value above 50; 16 tracts stand at it.
TARGET: Final = Column(
    "MEDV", "median value of owner-occupied homes", "thousand USD", 0, 50, above_minimum=True
)

BOSTON: Final = Schema(FEATURES, TARGET, "tract", "price", TARGET.minimum, is_scaled=False)
