"""Why a model version gives the prices that it gives, in the words of its contract."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from service.contract import BACKGROUND
from service.errors import InvalidRequest, ModelNotFound
from service.inference.dependence import depend
from service.inference.explaining import Shapley

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    # What a caller wrote in a row and a column, both by number.
    Written = Callable[[int, int], str]

    from service.contract import Background, Contract, Feature
    from service.inference.executor import Executor, Tensors
    from service.inference.explaining import Model, Shares
    from service.inference.signature import Signature

# Rows that the network may run for one request: some seconds of a large network.
_MOST_ROWS: Final = 2**22
# Instances that may be explained in one request: so many at most, so many whatever they cost.
_MOST_INSTANCES: Final = 1000
_LEAST_INSTANCES: Final = 10
# Values of a feature, at equal distances, that partial dependence looks at beside the deciles.
_GRID: Final = 21
_FEW_VALUES: Final = 10
# The background rows, sorted by price, whose own lines are shown: of each fifth the middle one.
_LINES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)


class Outside(msgspec.Struct, frozen=True):
    """A feature whose value lies outside what the model was trained on.

    Attributes:
        feature: Its name.
        value: The value; of a category that the model does not know, the caller's text.
        minimum: The least value in training; None of a category.
        maximum: The greatest.
        by: How far outside, in the feature's unit.
        deviations: The same in standard deviations of the training rows; None if they are 0.
    """

    feature: str
    value: float | str
    minimum: float | None = None
    maximum: float | None = None
    by: float | None = None
    deviations: float | None = None


class Unusual(msgspec.Struct, frozen=True):
    """That an instance is far from every background row; see ``contract.Background``.

    Attributes:
        distance: To the nearest one.
        limit: What is usual.
        false_alarms: Share of instances like those of training that lie beyond it.
    """

    distance: float
    limit: float
    false_alarms: float


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an instance's price is made of.

    Attributes:
        base: Mean price of the background rows.
        price: The instance's price: ``base`` and all ``contributions``.
        contributions: What each feature adds, by name.
        error: The largest standard error of a contribution; 0 where they are exact.
        outside: The features whose values lie outside what the model was trained on.
        unusual: Whether it is unlike all training rows; None if not, or if that is not known.
        errors: The standard errors by feature; empty where the contributions are exact.
    """

    base: float
    price: float
    contributions: dict[str, float]
    error: float
    outside: list[Outside]
    unusual: Unusual | None
    errors: dict[str, float] = msgspec.field(default_factory=dict)


class Dependence(msgspec.Struct, frozen=True):
    """How prices depend on one feature; see ``inference.dependence``.

    Attributes:
        unit: The feature's unit.
        grid: Its values, rising, the training rows' deciles among them; or its categories.
        price: Mean price of the background rows with each.
        lines: The prices of single background rows with each.
        deciles: The deciles of the training rows; categories have none.
    """

    unit: str
    grid: list[float] | list[str]
    price: list[float]
    lines: list[list[float]]
    deciles: list[float]


@dataclass(frozen=True)
class Source:
    """What a version's prices are explained from.

    Attributes:
        name: What errors call the version.
        contract: Its description, where it has one.
        background: The rows to compare with, where it has them.
    """

    name: str
    contract: Contract | None
    background: Background | None

    def explainer(self, name: str, signature: Signature, executor: Executor) -> Explainer:
        """What explains the prices of a signature.

        Args:
            name: The signature's name.
            signature: The signature.
            executor: What runs it.

        Raises:
            ModelNotFound: The version lacks what explanations need.
            InvalidRequest: The signature does not take features and give prices.
        """
        if self.contract is None:
            raise ModelNotFound(
                f"{self.name} cannot be explained: it has no contract to name its features"
            )
        if self.background is None:
            raise ModelNotFound(
                f"{self.name} cannot be explained: it has no {BACKGROUND}, the training rows to "
                "compare with; train it anew"
            )
        form = _form(name, signature, self.contract)
        model = form.model(lambda inputs: executor.run(name, inputs))
        return Explainer(self.contract, self.background, form, model)


@dataclass(frozen=True)
class _Form:
    """How a signature takes features and gives prices.

    Attributes:
        signature: Its name.
        columns: The inputs that take a feature each, in the contract's order; empty if one
            takes them all.
        input: The input that takes them all.
        output: The output with the prices.
    """

    signature: str
    columns: tuple[str, ...]
    input: str
    output: str

    def batch(self, inputs: Tensors) -> NDArray[np.float32]:
        """The instances ``[n, features]`` that a request's arrays hold."""
        if not self.columns:
            return np.asarray(inputs[self.input], np.float32)
        return np.stack([np.asarray(inputs[it], np.float32) for it in self.columns], axis=1)

    def model(self, run: Callable[[Tensors], Tensors]) -> Model:
        """From instances ``[n, features]`` to their prices ``[n]``."""

        def model(batch: NDArray[np.float32]) -> NDArray[Any]:
            prices = run(self._inputs(batch))[self.output]
            if prices.size != len(batch):
                raise InvalidRequest(
                    f"signature {self.signature} cannot be explained: {self.output} has shape "
                    f"{list(prices.shape)}, expected a number for each of {len(batch)} rows"
                )
            return prices.reshape(len(batch))

        return model

    def _inputs(self, batch: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        if not self.columns:
            return {self.input: batch}
        return {it: np.ascontiguousarray(batch[:, place]) for place, it in enumerate(self.columns)}


def _form(name: str, signature: Signature, contract: Contract) -> _Form:
    columns = () if contract.input in signature.inputs else contract.input_names
    wanted = {contract.input} if not columns else set(columns)
    numbers = all(it.is_float32 for it in signature.inputs.values())
    if signature.inputs.keys() != wanted or not numbers:
        raise InvalidRequest(
            f"signature {name} cannot be explained: it takes {', '.join(signature.inputs)}, not "
            f"the features as numbers ({contract.input}, or {', '.join(contract.input_names)})"
        )
    outputs = list(signature.outputs)
    output = contract.output if contract.output in outputs else outputs[0]
    if output != contract.output and len(outputs) > 1:
        raise InvalidRequest(
            f"signature {name} cannot be explained: it gives {', '.join(outputs)}, and none is "
            f"{contract.output}"
        )
    return _Form(name, columns, contract.input, output)


class Explainer:
    """Explains the prices of one signature of a version.

    Args:
        contract: Names, units and what the features were in training.
        background: The rows to compare with.
        form: How the signature takes features.
        model: From instances ``[n, features]`` to their prices ``[n]``.

    Attributes:
        shapley: What computes the contributions.
    """

    def __init__(
        self, contract: Contract, background: Background, form: _Form, model: Model
    ) -> None:
        self._contract = contract
        self._background = background
        self._form = form
        self._model = _in_turn(model)
        self._rows = np.array(background.instances, np.float32)
        self._scales = np.array(background.scales, np.float64)
        self.shapley = Shapley(self._model, self._rows)

    def explain(self, inputs: Tensors, written: Written | None = None) -> list[Explanation]:
        """Explain the prices of instances that the contract allows.

        Args:
            inputs: An array for every input of the signature.
            written: What names a category that the model does not know.

        Raises:
            InvalidRequest: There are more than may be explained at once.
        """
        batch = self._form.batch(inputs)
        self._check_count(len(batch))
        shares = self.shapley.explain(batch)
        outside = [self._outside(place, row, written) for place, row in enumerate(batch)]
        return [self._explanation(*it) for it in zip(batch, shares, outside, strict=True)]

    @cached_property
    def dependence(self) -> Mapping[str, Dependence]:
        """How prices depend on each feature, by name; computed once."""
        return {
            feature.name: self._depend(feature, column)
            for column, feature in enumerate(self._contract.features)
        }

    @property
    def base(self) -> float:
        """Mean price of the background rows."""
        return _rounded(self.shapley.base, _decimals(self.shapley.base))

    def _check_count(self, count: int) -> None:
        rows = self.shapley.rows
        most = min(_MOST_INSTANCES, max(_LEAST_INSTANCES, _MOST_ROWS // rows))
        if count > most:
            raise InvalidRequest(
                f"there are {count} instances, at most {most} can be explained at once: for each "
                f"the network runs {rows} rows ({len(self._contract.features)} features, "
                f"{len(self._rows)} background rows)"
            )

    def _explanation(
        self, row: NDArray[np.float32], shares: Shares, outside: list[Outside]
    ) -> Explanation:
        names, base = self._contract.feature_names, self.shapley.base
        digits = _decimals(max(abs(base), abs(shares.price)))
        errors = [_rounded(it, digits) for it in shares.errors.tolist()]
        added = [_rounded(it, digits) for it in shares.contributions.tolist()]
        return Explanation(
            base=_rounded(base, digits),
            price=float(str(np.float32(shares.price))),  # as ``:predict`` writes it
            contributions=dict(zip(names, added, strict=True)),
            error=max(errors),
            outside=outside,
            unusual=self._unusual(row),
            errors={} if self.shapley.is_exact else dict(zip(names, errors, strict=True)),
        )

    def _outside(
        self, place: int, row: NDArray[np.float32], written: Written | None
    ) -> list[Outside]:
        found: list[Outside | None] = []
        for column, (feature, value) in enumerate(zip(self._contract.features, row, strict=True)):
            if feature.is_unknown(value):
                text = written(place, column) if written else str(feature.written(value))
                found.append(Outside(feature.name, text))
            elif not feature.is_category:
                found.append(_beyond(feature, value))
        return [it for it in found if it is not None]

    def _unusual(self, row: NDArray[np.float32]) -> Unusual | None:
        limit, false_alarms = self._background.distance_limit, self._background.false_alarms
        if limit is None or false_alarms is None:
            return None
        distance = _nearest(row, self._rows, self._scales)
        if distance <= limit:
            return None
        return Unusual(_rounded(distance, 3), _rounded(limit, 3), false_alarms)

    def _depend(self, feature: Feature, column: int) -> Dependence:
        grid = _grid(feature, self._rows[:, column])
        lines = [int(it * len(self._rows)) for it in _LINES]
        found = depend(self._model, self._rows, column, grid, lines)
        digits = _decimals(float(np.abs(found.price).max()))
        return Dependence(
            unit=feature.unit,
            grid=list(feature.categories) if feature.is_category else grid,
            price=[_rounded(it, digits) for it in found.price.tolist()],
            lines=[[_rounded(it, digits) for it in line] for line in found.lines.tolist()],
            deciles=[] if feature.is_category else list(feature.training.deciles),
        )


def _in_turn(model: Model) -> Model:
    """A model that is run by one thread at a time: explanations leave other CPUs to requests."""
    turn = threading.Lock()

    def run(batch: NDArray[np.float32]) -> NDArray[Any]:
        with turn:
            return model(batch)

    return run


def _beyond(feature: Feature, value: np.float32) -> Outside | None:
    """How far a number lies outside training, if it does; a missing one does not."""
    training, number = feature.training, float(str(value))
    # What was the extreme in training is not outside of it for having been rounded.
    if not (value < np.float32(training.minimum) or value > np.float32(training.maximum)):
        return None
    by = max(training.minimum - number, number - training.maximum)
    digits = _decimals(max(abs(training.minimum), abs(training.maximum), abs(number)))
    return Outside(
        feature=feature.name,
        value=number,
        minimum=training.minimum,
        maximum=training.maximum,
        by=_rounded(by, digits),
        deviations=_rounded(by / training.std, 3) if training.std > 0 else None,
    )


def _nearest(
    row: NDArray[np.float32], rows: NDArray[np.float32], scales: NDArray[np.float64]
) -> float:
    """The distance to the nearest background row; see ``contract.Background``."""
    one, others = row.astype(np.float64), rows.astype(np.float64)
    same = (one == others) | (np.isnan(one) & np.isnan(others))
    parts = np.abs(one - others) / scales
    parts[np.isnan(parts)] = 1.0  # of a value that one has and the other lacks, too
    parts[same] = 0.0
    return float(np.sqrt(np.mean(parts**2, axis=1).min()))


def _grid(feature: Feature, values: NDArray[np.float32]) -> list[float]:
    """The values of a feature that partial dependence looks at, rising; of a category its codes.

    Args:
        feature: The feature.
        values: Its values in the background rows.
    """
    training = feature.training
    if feature.is_category:
        return [float(code) for code in range(len(feature.categories))]
    distinct = np.unique(values[~np.isnan(values)])
    # Between the values of a feature that has few, such as yes and no, there are none.
    if len(distinct) <= _FEW_VALUES:
        return sorted({*(float(str(it)) for it in distinct), *training.deciles})
    even = np.linspace(training.minimum, training.maximum, _GRID).tolist()
    return sorted({*even, *training.deciles})


def _decimals(largest: float) -> int:
    """Decimals that show eight digits of a number: one more than a float32 has."""
    known = largest > 0 and np.isfinite(largest)
    return 7 - int(np.floor(np.log10(largest))) if known else 8


def _rounded(value: float, decimals: int) -> float:
    return round(value, decimals)
