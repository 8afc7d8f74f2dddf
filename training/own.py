"""A table of one's own: any CSV or Parquet file, its columns found out and then read.

Up to a size it is held in memory. Beyond, every row trains still, from a file of numbers, and
what needs many rows at once (medians, categories, metrics, pictures) is taken from samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from service.contract import CATEGORY, NUMBER, REFUSED
from training import chunks, description
from training.columns import Column, Schema
from training.engine.group import ALONE, exchange
from training.errors import TableError
from training.feed import Feed, Sample, Writer
from training.recipe import Recipe
from training.split import Rows, Split, split
from training.survey import Survey, as_texts, values, with_target
from training.table import LEAST_ROWS, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.engine.group import Group
    from training.survey import Look

# Rows of each side that are held in memory of a table that streams.
_SAMPLE_ROWS: Final = 20_000
_TRAIN, _WATCHED, _TEST = range(3)


@dataclass(frozen=True)
class Place:
    """Where a table is, and what is said of it.

    Attributes:
        path: The table.
        described: What is said of its columns, as TOML; empty for nothing.
    """

    path: Path
    described: bytes = b""


@dataclass(frozen=True)
class Found:
    """What a look over a table found.

    Attributes:
        source: The table.
        survey: What its columns hold.
        features: Those that the network reads, in order.
        unused: Why each of the others is left out, by name.
    """

    source: chunks.Source
    survey: Survey
    features: tuple[str, ...]
    unused: Mapping[str, str]


def read(place: Place, recipe: Recipe) -> tuple[Table, Found]:
    """Read a table into memory.

    Args:
        place: Where it is.
        recipe: Names the target, and the features if not all; says which rows test.

    Returns:
        The table, and what a look over it found.

    Raises:
        TableError: It is no such table; the error has every problem.
    """
    kept: list[pd.DataFrame] = []
    found = _look(place, recipe, lambda chunk, _: kept.append(chunk))
    frame = pd.concat([_typed(it, found, recipe.target) for it in kept])
    rows = split(frame, found.features, recipe.split_seed, recipe.train_share, recipe.target)
    schema = _schema(found, rows.train, recipe)
    coded = Split(_coded(rows.train, schema), _coded(rows.test, schema))

    def whole(names: Sequence[str]) -> pd.DataFrame:
        return frame if set(names) <= set(frame) else _whole(place, recipe, names)

    return Table(schema, coded, rows=len(frame), frame=whole), found


def stream(place: Place, recipe: Recipe, folder: Path, group: Group = ALONE) -> tuple[Table, Found]:
    """Read a table that need not fit into memory, in two passes.

    Args:
        place: Where it is.
        recipe: As in ``read``; a share to validate is drawn from the whole table.
        folder: Where the training rows are written as numbers.
        group: The processes that read it, each a part; all find the same.

    Returns:
        The table, of which a sample is in memory, and what a look over it found.

    Raises:
        TableError: It is no such table; the error has every problem.
    """
    sides, samples = _Sides(recipe), [Sample(_SAMPLE_ROWS) for _ in range(3)]

    def keep(chunk: pd.DataFrame, survey: Survey) -> None:
        # What is no category for sure, such as long remarks, would fill the memory.
        rows = with_target(chunk, recipe.target).drop(columns=survey.remarks())
        drawn, keys = sides.draw(rows.index.to_numpy())
        for side, sample in enumerate(samples):
            sample.add(rows[drawn == side], keys[drawn == side])

    found = _look(place, recipe, keep, group)
    train, watched, test = (_sampled(it.joined(group), found, recipe) for it in samples)
    schema = _schema(found, train, recipe)
    held = _coded(test, schema)
    path = folder / "rows"
    count = _write(path, found, schema, recipe, _part(group))
    seen = _coded(watched, schema) if recipe.validation_share else held
    feed = Feed(path, len(found.features), count, seen, group, _counts(group, count))
    rows = Split(_coded(train, schema), held)
    return Table(schema, rows, feed, found.survey.rows, lambda _: test.frame), found


def whole(place: Place, target: str, names: Sequence[str]) -> pd.DataFrame:
    """Some columns of a whole table, its rows in their order.

    Args:
        place: Where it is.
        target: Rows without it are left out.
        names: The others: numbers as float64, categories as texts.

    Raises:
        TableError: One of them is not there, or of no use.
    """
    return _whole(place, Recipe(features=(), target=target), names)


def _whole(place: Place, recipe: Recipe, names: Sequence[str]) -> pd.DataFrame:
    kept: list[pd.DataFrame] = []
    asked = tuple(name for name in dict.fromkeys(names) if name != recipe.target)
    found = _look(place, replace(recipe, features=asked), lambda chunk, _: kept.append(chunk))
    return pd.concat([_typed(it, found, recipe.target) for it in kept])


class _Sides:
    """Draws the side of each row by its place, the same at every pass and in every process."""

    def __init__(self, recipe: Recipe) -> None:
        self._seed = recipe.split_seed
        learned = recipe.train_share * (1 - recipe.validation_share)
        self._ends = [learned, recipe.train_share]

    def draw(self, places: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """For rows at ascending places the side of each, and a random number for its sample."""
        first, end = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
        bits = np.random.PCG64(self._seed)
        bits.advance(2 * first)  # each place has two numbers
        drawn = np.random.Generator(bits).random((end - first, 2))[places - first]
        return np.digitize(drawn[:, 0], self._ends), drawn[:, 1]


def _part(group: Group) -> chunks.Part:
    return chunks.Part(group.index, group.size)


def _counts(group: Group, count: int) -> tuple[int, ...]:
    """The rows of every process of a group, where there are several."""
    if group.size == 1:
        return ()
    return tuple(int(it) for it in exchange(group, str(count).encode()))


def _look(
    place: Place,
    recipe: Recipe,
    keep: Callable[[pd.DataFrame, Survey], None],
    group: Group = ALONE,
) -> Found:
    """Look over the whole table; each chunk that this process reads is given away too.

    Raises:
        TableError: It is no such table; the error has every problem.
    """
    source = chunks.source(place.path)
    said = description.read(place.described, f"the description of {place.path.name}", source.names)
    wanted = _wanted(place, source.names, recipe)
    survey = Survey(wanted, recipe.target, source.place, said)
    for chunk in source.chunks(wanted, _part(group)):
        survey.add(chunk)
        keep(chunk, survey)
    if group.size > 1:
        told = exchange(group, survey.told())
        for other in told[: group.index] + told[group.index + 1 :]:
            survey.join(other)
    unused = {name: it.useless for name, it in survey.looks.items() if it.useless}
    features = tuple(it for it in wanted if it != recipe.target and it not in unused)
    problems = [
        *_wrong_target(survey, recipe.target),
        *(
            f"{it}: {unused[it]}; leave it out of --features"
            for it in recipe.features
            if it in unused
        ),
    ]
    if not problems:
        problems = survey.problems([*features, recipe.target])
    if not features and not problems:
        problems = ["no column but the target is of use", *(f"{a}: {b}" for a, b in unused.items())]
    if problems:
        raise TableError(str(place.path), problems)
    return Found(source, survey, features, unused)


def _wanted(place: Place, names: list[str], recipe: Recipe) -> list[str]:
    """The columns to look at: features, and last the target.

    Raises:
        TableError: One of them is not there, or twice.
    """
    asked = [*(recipe.features or [it for it in names if it != recipe.target]), recipe.target]
    problems = [
        f"column {name} is missing; there are {', '.join(map(_shown, names))}"
        if name not in names
        else f"column {_shown(name)} is there {names.count(name)} times, once is right"
        for name in dict.fromkeys(asked)
        if names.count(name) != 1
    ]
    if "" in asked:
        problems = ["a column has no name: name it, or say which are read with --features"]
    if problems:
        raise TableError(str(place.path), problems)
    return asked


def _shown(name: str) -> str:
    return name or "one without a name"


def _wrong_target(survey: Survey, target: str) -> Iterator[str]:
    look = survey.looks[target]
    if survey.rows < LEAST_ROWS:
        yield f"it has {survey.rows} rows with {target}, at least {LEAST_ROWS} are needed"
    elif look.kind == CATEGORY:
        examples = ", ".join(map(repr, sorted(look.texts)[:3]))
        yield (
            f"the target {target} holds texts, such as {examples}: only numbers can be "
            "predicted, to tell classes apart is not done"
        )
    elif look.useless:
        yield f"the target {target}: {look.useless}, nothing to learn"


def _typed(chunk: pd.DataFrame, found: Found, target: str) -> pd.DataFrame:
    """The rows of a chunk that have a target: numbers as float64, categories as texts."""
    rows = with_target(chunk, target)
    columns: dict[str, Any] = {}
    for name in (*found.features, target):
        given = values(rows[name])
        is_category = found.survey.looks[name].kind == CATEGORY
        columns[name] = as_texts(given) if is_category else given.numbers
    return pd.DataFrame(columns, index=rows.index)


def _sampled(sample: Sample, found: Found, recipe: Recipe) -> Rows:
    """A sample's rows, shuffled: golden rows and held-out rows are taken from their ends."""
    typed = _typed(sample.rows, found, recipe.target) if len(sample.rows) else sample.rows
    return Rows(typed.sample(frac=1, random_state=recipe.split_seed), found.features, recipe.target)


def _schema(found: Found, train: Rows, recipe: Recipe) -> Schema:
    """The columns, with what the training rows tell of them."""
    looks = found.survey.looks
    features = {it: _column(looks[it], train.frame[it], recipe) for it in found.features}
    target = looks[recipe.target]
    column = Column(
        target.name, target.said.meaning or target.name, target.said.unit, *limits(target)
    )
    return Schema(features, column, price=target.name, minimum=least(target))


def least(target: Look) -> float | None:
    """What no target is below: as it is said, else 0 where none was."""
    if target.said.minimum is not None:
        return target.said.minimum
    return 0.0 if target.minimum >= 0 else None


def _column(look: Look, train: pd.Series[Any], recipe: Recipe) -> Column:
    said = look.said
    optional = look.missing > 0 and said.missing != REFUSED
    meaning = said.meaning or look.name
    if look.kind == CATEGORY:
        known = _most_frequent(train, recipe.categories)
        return Column(
            look.name, meaning, said.unit, 0, len(known),
            kind=CATEGORY, categories=known, optional=optional,
        )  # fmt: skip
    fill = float(np.float32(train.median())) if optional and train.notna().any() else 0.0
    return Column(look.name, meaning, said.unit, *limits(look), fill=fill, optional=optional)


def _most_frequent(train: pd.Series[Any], most: int) -> tuple[str, ...]:
    """The most frequent categories; of equally frequent ones those that sort first."""
    counts = train.dropna().value_counts()
    return tuple(sorted(counts.index, key=lambda it: (-counts[it], it))[:most])


def limits(look: Look) -> tuple[float, float]:
    """What makes sense: as it is said, else what was seen, and as much again on either side.

    What was never below 0 does not go below.
    """
    reach = look.maximum - look.minimum
    lower = look.minimum - reach
    if look.minimum >= 0:
        lower = max(lower, 0.0)
    said = look.said
    return (
        lower if said.minimum is None else said.minimum,
        look.maximum + reach if said.maximum is None else said.maximum,
    )


def _coded(rows: Rows, schema: Schema) -> Rows:
    """Rows as the network reads them: categories as numbers."""
    columns = {it: _codes(rows.frame[it], schema.features[it]) for it in rows.features}
    columns[rows.target] = rows.frame[rows.target].to_numpy(np.float64)
    return replace(rows, frame=pd.DataFrame(columns, index=rows.frame.index))


def _codes(column: pd.Series[Any], described: Column) -> NDArray[np.float64]:
    if described.kind == NUMBER:
        return column.to_numpy(np.float64)
    numbers = {name: code for code, name in enumerate(described.categories)}
    codes = column.map(numbers).fillna(described.other)
    return np.asarray(codes.mask(column.isna()), np.float64)


def _write(path: Path, found: Found, schema: Schema, recipe: Recipe, part: chunks.Part) -> int:
    """Write the training rows of a part of the table, and count them."""
    sides = _Sides(recipe)
    with Writer(path) as file:
        for chunk in found.source.chunks([*found.features, recipe.target], part):
            typed = _typed(chunk, found, recipe.target)
            drawn, _ = sides.draw(typed.index.to_numpy())
            rows = Rows(typed[drawn == _TRAIN], found.features, recipe.target)
            file.add(_coded(rows, schema).frame.to_numpy(np.float64))
        return file.rows
