"""A model version's own description, and the folder it lies in.

This is the seam between ``training``, which writes it, and ``service``, which reads
it. It knows no heavy library and opens nothing at import.

    <version>/
      saved_model.pb  variables/      the network
      model.tflite                    the same network for LiteRT
      assets.extra/
        contract.json                 Contract
        golden.json                   Golden
        background.json               Background
        tf_serving_warmup_requests    TFRecord of PredictionLog
        report/                       what the training report shows
          test.json                   HeldOut; older versions have none
        model-card.md                 what the version is for, and how good it is for whom
        model.sig                     who signed all of this, where somebody did
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_T = TypeVar("_T")

FORMAT: Final = 1

NUMBER: Final = "number"
CATEGORY: Final = "category"
REFUSED: Final = "refused"

SAVED_MODEL: Final = "saved_model.pb"
LITERT_MODEL: Final = "model.tflite"
CONTRACT: Final = "assets.extra/contract.json"
GOLDEN: Final = "assets.extra/golden.json"
BACKGROUND: Final = "assets.extra/background.json"
WARMUP: Final = "assets.extra/tf_serving_warmup_requests"
REPORT: Final = "assets.extra/report"
HELD_OUT: Final = "assets.extra/report/test.json"
CARD: Final = "assets.extra/model-card.md"
SIGNATURE: Final = "assets.extra/model.sig"

# Outputs of a signature that gives intervals, beside the contract's own.
LOWER: Final = "lower"
UPPER: Final = "upper"
# The signature that takes each feature by itself, under the contract's ``input_names``.
NAMED: Final = "named"
# The signature of the usual level's intervals; each level has one of its own too.
INTERVAL: Final = "interval"
USUAL_LEVEL: Final = 0.9

# Neither describes itself: the contract cannot hold its own checksum, and is signed with the rest.
_NOT_HASHED: Final = (CONTRACT, SIGNATURE)


_NOT_IN_GRAPHS: Final = re.compile(r"[^A-Za-z0-9_]+", re.ASCII)


class ContractError(ValueError):
    """The description of a model version is missing, malformed, or not true of its files."""


class Distribution(msgspec.Struct, frozen=True):
    """How a column was distributed in the training rows, in the column's own unit.

    Attributes:
        minimum: Smallest value.
        maximum: Largest value.
        mean: Arithmetic mean.
        std: Standard deviation (population).
        median: Middle value: what a page shows as typical.
        deciles: The quantiles 0, 0.1, ..., 1: eleven values, ascending.
        edges: Bounds of the bins in which later values are compared with these, float32 and
            ascending: bin i is above ``edges[i]`` up to and with ``edges[i + 1]``, the first
            with its lower bound too. None in a version that was made before.
        shares: Each bin's share of the training rows; they add up to 1.
        rows: Training rows that were counted.
    """

    minimum: float
    maximum: float
    mean: float
    std: float
    median: float
    deciles: tuple[float, ...]
    edges: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    rows: int = 0


class Feature(msgspec.Struct, frozen=True):
    """One column that the network reads.

    Attributes:
        name: The column's name, as callers write it.
        meaning: One phrase for people.
        unit: The unit of every number here.
        minimum: The least value that makes sense; less is refused.
        maximum: The greatest value that makes sense; more is refused.
        training: How the training rows were distributed.
        kind: ``number``, or ``category``: then the network reads the number of a category's
            place in ``categories``, and for any other the number after the last.
        categories: Those that the network knows, most frequent first.
        missing: What becomes of a value that is missing: ``refused``, or a rule in words.
            The network reads NaN.
    """

    name: str
    meaning: str
    unit: str
    minimum: float
    maximum: float
    training: Distribution
    kind: str = NUMBER
    categories: tuple[str, ...] = ()
    missing: str = REFUSED

    @property
    def is_category(self) -> bool:
        """Whether callers give texts, not numbers."""
        return self.kind == CATEGORY

    @property
    def typical(self) -> float | str:
        """What a caller may write: the median, or the most frequent category."""
        if not self.is_category:
            return self.training.median
        return self.categories[0] if self.categories else ""

    @property
    def is_optional(self) -> bool:
        """Whether a value may be missing."""
        return self.missing != REFUSED

    def is_unknown(self, value: float) -> bool:
        """Whether a number of a batch stands for a category that is none of those known."""
        return self.is_category and value >= len(self.categories)

    def written(self, value: float | None) -> float | str | None:
        """A number of a batch as a caller who names it writes it; None for a missing one."""
        if value is None or not self.is_category:
            return value
        return self._other if self.is_unknown(value) else self.categories[int(value)]

    @property
    def _other(self) -> str:
        """A text that is none of the categories."""
        text = "another"
        while text in self.categories:
            text += "?"
        return text


class Target(msgspec.Struct, frozen=True):
    """What the network predicts.

    Attributes:
        name: The column's name in the table.
        meaning: One phrase for people.
        unit: The unit of every number here.
        training: How the training rows were distributed.
        predicted: How the network's own predictions for them were: narrower than the truth,
            so that it is with these that later predictions are compared. None in a version
            that was made before.
    """

    name: str
    meaning: str
    unit: str
    training: Distribution
    predicted: Distribution | None = None


class Estimate(msgspec.Struct, frozen=True):
    """A figure measured on some rows, and how sure it is.

    Attributes:
        value: The figure.
        low: Lower end of its 95 % confidence interval; None where the rows are too few for one.
        high: Upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None


class Slice(msgspec.Struct, frozen=True):
    """How good the network is on some of the test rows.

    Attributes:
        name: Which rows, for people.
        rows: How many they are.
        metrics: ``mae`` and ``bias`` (mean of prediction less truth) in the target's unit,
            ``mse`` in its square; ``r2`` where the rows are all of them.
    """

    name: str
    rows: int
    metrics: dict[str, Estimate]


class Gate(msgspec.Struct, frozen=True):
    """How a version did beside the one that was stable when it was made.

    Attributes:
        against: That version's number.
        rows: Test rows that both were asked.
        mae: Mean absolute error of the new one there, in the target's unit.
        mae_before: That of the other.
        difference: The one less the other: below 0 the new one is better.
        p_value: How likely so great a gain is by chance, were both equally good.
        alpha: The p value up to which the new one counts as better.
        forced: Published whatever came of it.
    """

    against: int
    rows: int
    mae: float
    mae_before: float
    difference: Estimate
    p_value: float
    alpha: float
    forced: bool = False

    @property
    def passed(self) -> bool:
        """Whether the new version is better."""
        return self.difference.value < 0 and self.p_value <= self.alpha


class Lineage(msgspec.Struct, frozen=True):
    """Where a version comes from.

    Attributes:
        created: When training ended, ISO 8601 in UTC.
        data: Name of the table.
        data_sha256: Hash of the table's bytes.
        code_sha256: Hash of the code that trained.
        packages: Version of each package that shapes the weights.
        recipe_sha256: Hash of the recipe.
        seed: What first weights and order of rows were drawn from.
        commit: Of the project's history that the code stood at, with ``-dirty`` where it had
            been changed since; empty where there is no history.
        parent: Number of the version that was stable then; None where there was none.
        gate: How it did beside that one; None where they were not compared.
    """

    created: str
    data: str
    data_sha256: str
    code_sha256: str
    packages: dict[str, str]
    recipe_sha256: str = ""
    seed: int | None = None
    commit: str = ""
    parent: int | None = None
    gate: Gate | None = None


class Coverage(msgspec.Struct, frozen=True):
    """How often the truth lay within a level's intervals, on rows that had no part in them.

    Attributes:
        share: Of the rows.
        low: The share may well be as small: of one set of rows the lower end of its 95 %
            binomial confidence interval (Clopper and Pearson), of several splits the least.
        high: Or as large, likewise.
        width: Mean width of the intervals, in the target's unit.
        rows: How many there were, all splits together.
        splits: How often the table was split and all was trained anew; 0 for the test rows.
    """

    share: float
    low: float
    high: float
    width: float
    rows: int
    splits: int = 0


class Level(msgspec.Struct, frozen=True):
    """One level of the prediction intervals.

    Attributes:
        level: The share of new rows whose truth is to lie within.
        signature: The signature that gives ``lower`` and ``upper`` beside the output.
        factor: How many spreads the interval reaches to either side of the output.
        test: What the test rows show.
        splits: What splitting the table anew shows; None where that was not done.
    """

    level: float
    signature: str
    factor: float
    test: Coverage
    splits: Coverage | None = None


class Spread(msgspec.Struct, frozen=True):
    """How far the output usually errs: straight lines between points, level beyond them.

    Attributes:
        outputs: Outputs, ascending.
        errors: The mean absolute error there.
    """

    outputs: tuple[float, ...]
    errors: tuple[float, ...]


class Intervals(msgspec.Struct, frozen=True):
    """The prediction intervals that a version gives.

    Attributes:
        method: How they came about, in a sentence.
        rows: Training rows whose errors they come from, each made by networks that had not
            seen the row.
        spread: How far the output usually errs.
        minimum: Lower bounds are not below this; None where there is no such limit.
        levels: Ascending.
    """

    method: str
    rows: int
    spread: Spread
    minimum: float | None
    levels: tuple[Level, ...]


class Network(msgspec.Struct, frozen=True):
    """How a network that was trained elsewhere is called by its own ``serving_default``.

    Attributes:
        inputs: Its inputs: one that takes the batch, or one a feature, in the features' order.
        output: The output that holds one number a row, ``[n]`` or ``[n, 1]``.
    """

    inputs: tuple[str, ...]
    output: str


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What a model version takes and gives, how good it is, and where it comes from.

    Attributes:
        format: Layout of this description.
        model: The model's name.
        features: The columns of the input, in order.
        target: What comes out.
        input: Name of the batch input of ``serving_default``: float32 ``[n, len(features)]``.
        output: Name of its output: float32 ``[n]``.
        tolerance: How far two executors' outputs may differ, in the target's unit.
        metrics: By data set (``train``, ``test``), then by predictor (``network``,
            ``mean``, ``linear``), then by metric (``mse``, ``mae``, ``r2``).
        recipe: Every knob of the training run.
        lineage: Data, code and packages.
        slices: How good the network is on the test rows, all of them first, then kinds of them.
        files: SHA-256 of every other file of the version, by path.
        intervals: The prediction intervals; None where the version gives none.
        network: How the network is called; None where it is called as this contract says.
    """

    format: int = FORMAT
    model: str
    features: tuple[Feature, ...]
    target: Target
    input: str = "features"
    output: str = "price"
    tolerance: float
    metrics: dict[str, dict[str, dict[str, float]]]
    recipe: dict[str, Any]
    lineage: Lineage
    slices: tuple[Slice, ...] = ()
    files: dict[str, str]
    intervals: Intervals | None = None
    network: Network | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the batch's columns."""
        return tuple(feature.name for feature in self.features)

    @property
    def input_names(self) -> tuple[str, ...]:
        """What the inputs of the signature ``named`` are called, in the same order."""
        return graph_names(self.feature_names)


class _Format(msgspec.Struct, frozen=True):
    format: int = FORMAT


class Golden(msgspec.Struct, frozen=True):
    """Rows whose outputs are known: replayed when a version is loaded.

    Attributes:
        instances: What the network reads, ``n`` rows in the contract's order; None is missing.
        predictions: What Keras gave for them, ``n`` values in the target's unit.
        bounds: By signature that gives intervals, the lower and upper bound of each row.
    """

    instances: tuple[tuple[float | None, ...], ...]
    predictions: tuple[float, ...]
    bounds: dict[str, tuple[tuple[float, float], ...]] = {}

    @property
    def rows(self) -> tuple[tuple[float, ...], ...]:
        """The instances as numbers: NaN is missing."""
        return tuple(
            tuple(float("nan") if it is None else it for it in row) for row in self.instances
        )


def graph_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names that TensorFlow takes for tensors, a different one for each column.

    Args:
        names: Any texts. What is made of letters, digits and ``_`` stays as it is.
    """
    made: list[str] = []
    for name in names:
        plain = start = _NOT_IN_GRAPHS.sub("_", name).strip("_") or "feature"
        number = 2
        while plain in made or (plain != name and plain in names):
            plain, number = f"{start}_{number}", number + 1
        made.append(plain)
    return tuple(made)


class Background(msgspec.Struct, frozen=True):
    """Training rows that explanations compare an instance with.

    The distance between two rows is the root of the mean square, over the features, of their
    difference divided by the feature's scale.

    Attributes:
        instances: Feature values, ``n`` rows in the contract's order; None where one is missing.
        scales: What a difference in each feature is divided by, in the feature's unit; None
            where any difference counts 1, whatever its size.
        distance_limit: Distance to the nearest of these rows beyond which an instance is
            unusual; None where there were too few rows to find it out.
        false_alarms: Share of instances like the training rows that lie beyond it.
    """

    instances: tuple[tuple[float | None, ...], ...]
    scales: tuple[float | None, ...]
    distance_limit: float | None = None
    false_alarms: float | None = None


class HeldOut(msgspec.Struct, frozen=True):
    """Rows that the network never learned from: what it says of them, and what is true.

    Attributes:
        instances: What the network reads, ``n`` rows in the contract's order; None is missing.
        predictions: What the network gives for them, ``n`` values in the target's unit.
        truths: What the table says, ``n`` values in the target's unit.
    """

    instances: tuple[tuple[float | None, ...], ...]
    predictions: tuple[float, ...]
    truths: tuple[float, ...]


def write(version: Path, contract: Contract, golden: Golden, beside: Path | None = None) -> None:
    """Write golden rows and contract into a version folder that is not yet published.

    The contract is written last, with the checksum of every other file as it stands.

    Args:
        version: The folder, complete but for these two files.
        contract: The description; its ``files`` are made anew.
        golden: Rows with their outputs.
        beside: A folder whose other files it describes too, that these are to join.
    """
    (version / GOLDEN).parent.mkdir(exist_ok=True)
    (version / GOLDEN).write_bytes(_json(golden))
    there = {} if beside is None else checksums(beside)
    described = msgspec.structs.replace(contract, files=there | checksums(version))
    (version / CONTRACT).write_bytes(_json(described))


def write_background(version: Path, background: Background) -> None:
    """Write the rows of explanations into a version folder that ``write`` is to complete."""
    (version / BACKGROUND).parent.mkdir(exist_ok=True)
    (version / BACKGROUND).write_bytes(_json(background))


def read(version: Path) -> Contract | None:
    """Read a version's contract.

    Args:
        version: The version's folder.

    Returns:
        The contract, or None where the version carries none.

    Raises:
        ContractError: It is there but malformed, or of a later format.
    """
    path = version / CONTRACT
    if not path.exists():
        return None
    # The format first: a later one need not have this one's fields.
    written = _decode(path, _Format).format
    if written > FORMAT:
        raise ContractError(f"{CONTRACT} has format {written}, known up to {FORMAT}")
    return _decode(path, Contract)


def read_golden(version: Path) -> Golden:
    """Read a version's golden rows.

    Raises:
        ContractError: They are missing, none, malformed, or rows and outputs differ in number.
    """
    path = version / GOLDEN
    if not path.exists():
        raise ContractError(f"{GOLDEN} is missing")
    golden = _decode(path, Golden)
    if len(golden.instances) != len(golden.predictions):
        raise ContractError(
            f"{GOLDEN} has {len(golden.instances)} instances but "
            f"{len(golden.predictions)} predictions"
        )
    for signature, bounds in golden.bounds.items():
        if len(bounds) != len(golden.instances):
            raise ContractError(
                f"{GOLDEN} has {len(golden.instances)} instances but {len(bounds)} bounds "
                f"of {signature}"
            )
    widths = {len(row) for row in golden.instances}
    if len(widths) != 1:
        raise ContractError(f"{GOLDEN} has rows of the widths {sorted(widths)}, expected one width")
    return golden


def read_background(version: Path, contract: Contract) -> Background | None:
    """Read the rows that a version's explanations compare with.

    Returns:
        They; None where the version carries none.

    Raises:
        ContractError: They are malformed, none, or not of the contract's features.
    """
    path = version / BACKGROUND
    if not path.exists():
        return None
    background = _decode(path, Background)
    width = len(contract.features)
    widths = {len(row) for row in background.instances} | {len(background.scales)}
    if not background.instances or widths != {width}:
        raise ContractError(
            f"{BACKGROUND} has {len(background.instances)} rows of the widths {sorted(widths)}, "
            f"expected at least one, of {width} features"
        )
    return background


def write_held_out(version: Path, rows: HeldOut) -> None:
    """Write test rows into a version folder whose contract is not yet written.

    Args:
        version: The folder.
        rows: The rows with their outputs.
    """
    (version / HELD_OUT).parent.mkdir(parents=True, exist_ok=True)
    (version / HELD_OUT).write_bytes(msgspec.json.encode(rows) + b"\n")


def read_held_out(version: Path) -> HeldOut:
    """Read a version's test rows.

    Raises:
        ContractError: They are missing, malformed, or rows and values differ in number.
    """
    path = version / HELD_OUT
    if not path.is_file():
        raise ContractError(f"{HELD_OUT} is missing")
    rows = _decode(path, HeldOut)
    counts = {len(rows.instances), len(rows.predictions), len(rows.truths)}
    if len(counts) != 1:
        raise ContractError(f"{HELD_OUT} has {sorted(counts)} entries, expected one number")
    return rows


def verify(version: Path, contract: Contract) -> None:
    """Check that the files of a version are those that its contract describes.

    Raises:
        ContractError: A file is missing, or its content is another; or a name leads elsewhere.
    """
    for name, expected in contract.files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ContractError(f"{name!r} lies outside the version's folder")
        path = version / name
        if not path.is_file():
            raise ContractError(f"{name} is missing")
        actual = _sha256(path)
        if actual != expected:
            raise ContractError(
                f"{name} has SHA-256 {actual[:12]}…, the contract says {expected[:12]}…"
            )


def checksums(version: Path) -> dict[str, str]:
    """SHA-256 of every file of a version but the contract, by path inside the version."""
    return {
        path.relative_to(version).as_posix(): _sha256(path)
        for path in sorted(_files(version))
        if path.relative_to(version).as_posix() not in _NOT_HASHED
    }


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _decode(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContractError(f"{path.name} is not as it should be: {error}") from error
