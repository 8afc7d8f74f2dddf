"""Stand-ins that work: an executor that adds, a clock that is set, an observer that remembers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.contract import Background, Contract, Distribution, Feature, Lineage, Target
from service.errors import InvalidRequest
from service.inference.signature import DTYPES, Signature, TensorSpec
from service.repository.storage import fingerprint
from service.repository.version import ModelVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NUMBER_OF = {dtype.name: number for number, dtype in DTYPES.items()}
LIMITS = {"RM": (0.0, 50.0, "rooms"), "AGE": (0.0, 100.0, "%"), "LSTAT": (0.0, 100.0, "%")}


def spec(dtype: str = "float32", *shape: int, name: str = "x:0") -> TensorSpec:
    """A tensor of NumPy's name for its type."""
    return TensorSpec(name, NUMBER_OF[dtype], shape)


def signature(
    inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec] | None = None
) -> Signature:
    """A signature; its output is a number a row unless said otherwise."""
    return Signature(inputs, {"price": spec("float32", -1)} if outputs is None else outputs)


SUM = signature({"features": spec("float32", -1, 3)})
SUM_BY_NAME = signature({name: spec("float32", -1) for name in LIMITS})


class Adder:
    """An executor whose price is the sum of a row; it refuses what it cannot add."""

    name = "adder"
    joins = False

    def __init__(self, *, quick: bool = True) -> None:
        self.quick = quick
        self.signatures: Mapping[str, Signature] = {
            "serving_default": SUM,
            "named": SUM_BY_NAME,
        }

    def only(self, signature: str) -> Callable[[Any], Any] | None:
        return (lambda batch: batch.sum(axis=1)) if signature == "serving_default" else None

    def run(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        if signature == "named":
            return {"price": sum(inputs.values())}
        batch = inputs["features"]
        if batch.ndim != 2:
            raise InvalidRequest(f"features has shape {list(batch.shape)}, expected [n, 3]")
        return {"price": batch.sum(axis=1)}


class Ranger(Adder):
    """An adder with intervals: as wide to either side as the level has percents."""

    def __init__(self, *, quick: bool = True) -> None:
        super().__init__(quick=quick)
        outputs = {name: spec("float32", -1) for name in ("lower", "price", "upper")}
        ranged = signature({"features": spec("float32", -1, 3)}, outputs)
        names = ("interval", "interval_80", "interval_90", "interval_95")
        self.signatures = {**self.signatures, **dict.fromkeys(names, ranged)}

    def run(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        if not signature.startswith("interval"):
            return super().run(signature, inputs)
        price = super().run("serving_default", inputs)["price"]
        percents = float(signature.partition("_")[2] or 90)
        return {"lower": price - percents, "price": price, "upper": price + percents}


class Broken(Adder):
    """An executor with a bug."""

    def only(self, signature: str) -> Callable[[Any], Any] | None:
        return lambda batch: self.run(signature, {"features": batch})

    def run(self, _signature: str, _inputs: Mapping[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("the wires are crossed")


def distribution(low: float = 0.0, high: float = 10.0) -> Distribution:
    step = (high - low) / 10
    deciles = tuple(low + step * tenth for tenth in range(11))
    middle = (low + high) / 2
    return Distribution(low, high, middle, step, middle, deciles)


def contract(**changes: Any) -> Contract:
    """The contract of a model that takes rooms, age and status."""
    features = tuple(
        Feature(name, f"what {name} means", unit, low, high, distribution())
        for name, (low, high, unit) in LIMITS.items()
    )
    made = {
        "model": "housing",
        "features": features,
        "target": Target("MEDV", "median price", "thousand USD", distribution(5, 50)),
        "tolerance": 1e-4,
        "metrics": {"test": {"network": {"mae": 2.5}, "mean": {"mae": 6.5}}},
        "recipe": {"epochs": 100},
        "lineage": Lineage("2026-01-01T00:00:00Z", "boston", "0" * 64, "1" * 64, {"keras": "3"}),
        "files": {},
    }
    return Contract(**(made | changes))


# Against these rows each feature of what adds up adds its distance from 5.
BACKGROUND = Background(((4.0, 4.0, 4.0), (6.0, 6.0, 6.0)), (1.0, 1.0, 1.0), 2.0, 0.01)


def version(
    number: int = 1,
    *,
    model: str = "housing",
    path: Path = Path("/nowhere"),
    described: bool = True,
    executor: Adder | None = None,
    background: Background | None = None,
) -> ModelVersion:
    """A version that adds, with a contract or without."""
    runner = executor if executor is not None else Adder()
    return ModelVersion(
        model=model,
        number=number,
        path=path,
        signatures=runner.signatures,
        executor=runner,
        contract=contract(model=model) if described else None,
        fingerprint=fingerprint(path) if path.is_dir() else (),
        loaded_at=0.0,
        background=background,
    )


@dataclass
class Clock:
    """Seconds that pass when told to."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Witness:
    """An observer that remembers what it was told."""

    told: list[tuple[str, str, Any]] = field(default_factory=list)

    def loaded(self, version: ModelVersion, _seconds: float) -> None:
        self.told.append(("loaded", version.model, version.number))

    def refused(self, model: str, _path: Path, error: Exception) -> None:
        self.told.append(("refused", model, str(error)))

    def unloaded(self, model: str, number: int) -> None:
        self.told.append(("unloaded", model, number))
