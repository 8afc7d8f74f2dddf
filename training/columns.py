"""The columns of the table: what each means, its unit, and the values that make sense.

The limits are those of the quantity, not of the 506 tracts: a share ends at 100 %, and no
tract has 50 rooms a dwelling. They bound the table here and requests in the service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        name: As the table's first line has it.
        meaning: One phrase for people.
        unit: The unit of every number in it.
        minimum: The least value that makes sense.
        maximum: The greatest value that makes sense.
        above_minimum: Whether the minimum itself is refused.
    """

    name: str
    meaning: str
    unit: str
    minimum: float
    maximum: float
    above_minimum: bool = False

    @property
    def limits(self) -> str:
        """The values that make sense, as an interval."""
        bracket = "(" if self.above_minimum else "["
        return f"{bracket}{self.minimum:g}, {self.maximum:g}]"


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
