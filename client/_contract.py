"""What a server says of a model: its contract, and which versions it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from client._errors import InvalidRequest
from client._intervals import LOWER, UPPER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_REFUSED: Final = "refused"  # the rule of a column whose values may not be missing

# Texts that stand for no value in a table, as training reads them.
MISSING: Final = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "<NA>", "#N/A")


@dataclass(frozen=True)
class Feature:
    """One column that the network reads.

    Attributes:
        name: The column's name.
        meaning: One phrase for people.
        unit: The unit of every number here.
        minimum: Less is refused.
        maximum: More is refused.
        training: How the training rows were distributed: ``minimum``, ``maximum``,
            ``mean``, ``std``, ``median``, ``deciles``.
        kind: ``number``, or ``category``: then values are texts.
        categories: Those that the network knows; any other is taken for the mean of all.
        missing: What becomes of a value that is missing: ``refused``, or a rule in words.
    """

    name: str
    meaning: str
    unit: str
    minimum: float
    maximum: float
    training: Mapping[str, Any]
    kind: str = "number"
    categories: tuple[str, ...] = ()
    missing: str = _REFUSED

    @property
    def is_category(self) -> bool:
        """Whether its values are texts."""
        return self.kind == "category"

    @property
    def is_optional(self) -> bool:
        """Whether a value may be missing: None."""
        return self.missing != _REFUSED


@dataclass(frozen=True)
class Target:
    """What the network predicts, in the same words."""

    name: str
    meaning: str
    unit: str
    training: Mapping[str, Any]


@dataclass(frozen=True)
class Contract:
    """What a model version takes and gives, and how good it is.

    Attributes:
        model: The model's name.
        features: The columns of the input, in order.
        target: What comes out.
        output: Name of the output, and of the column that a table gains.
        metrics: By data set, then by predictor, then by metric.
        document: All of it, as the server gave it.
    """

    model: str
    features: tuple[Feature, ...]
    target: Target
    output: str
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]]
    document: Mapping[str, Any]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the order of a row's columns."""
        return tuple(feature.name for feature in self.features)

    def outputs(self, *, bounded: bool) -> tuple[str, ...]:
        """Names of the columns that a table gains, with those of bounds or without."""
        return (self.output, LOWER, UPPER) if bounded else (self.output,)

    def check_columns(self, present: Sequence[str], *, bounded: bool = False) -> None:
        """Check that a table has each feature as a column once, and no output yet.

        Args:
            present: The table's columns.
            bounded: Whether it is to gain bounds besides the price.

        Raises:
            InvalidRequest: It is not so; the message names the columns.
        """
        missing = [name for name in self.feature_names if name not in present]
        if missing:
            raise InvalidRequest(
                f"no column {', '.join(missing)}: the columns are {', '.join(present)}"
            )
        twice = [name for name in self.feature_names if present.count(name) > 1]
        if twice:
            raise InvalidRequest(f"column {', '.join(twice)} is there more than once")
        for name in self.outputs(bounded=bounded):
            if name in present:
                raise InvalidRequest(f"there is a column {name} already: rename or drop it")

    @classmethod
    def of(cls, document: Any) -> Contract:
        """Read a contract; what it has beyond what is known here is kept in ``document``.

        Raises:
            KeyError, TypeError: Something is missing or of another form.
        """
        return cls(
            model=document["model"],
            features=tuple(_feature(part) for part in document["features"]),
            target=_target(document["target"]),
            output=document["output"],
            metrics=document["metrics"],
            document=document,
        )


@dataclass(frozen=True)
class VersionStatus:
    """How a version fares.

    Attributes:
        version: Its number.
        state: ``START``, ``LOADING``, ``AVAILABLE``, ``UNLOADING`` or ``END``.
        error: Why it could not be served; empty where nothing is wrong.
    """

    version: int
    state: str
    error: str = ""

    @property
    def is_available(self) -> bool:
        """Whether it answers."""
        return self.state == "AVAILABLE"

    @classmethod
    def of(cls, part: Any) -> VersionStatus:
        """Read one entry of ``model_version_status``.

        Raises:
            KeyError, TypeError, ValueError: Something is missing or of another form.
        """
        status = part.get("status", {})
        return cls(int(part["version"]), part["state"], status.get("error_message", ""))


def _feature(part: Any) -> Feature:
    return Feature(
        name=part["name"],
        meaning=part["meaning"],
        unit=part["unit"],
        minimum=float(part["minimum"]),
        maximum=float(part["maximum"]),
        training=part["training"],
        kind=part.get("kind", "number"),
        categories=tuple(part.get("categories", ())),
        missing=part.get("missing", _REFUSED),
    )


def _target(part: Any) -> Target:
    return Target(part["name"], part["meaning"], part["unit"], part["training"])
