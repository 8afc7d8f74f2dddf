"""The training report: one page that needs no other file, and its pictures beside it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jinja2
import numpy as np

from training import plots, recipe
from training.signatures import USUAL_LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from service.contract import Contract, Estimate
    from training.columns import Column, Schema
    from training.coverage import Seen
    from training.data_card import DataCard
    from training.fit import History
    from training.split import Split

PAGE: Final = "index.html"

_SMALL: Final = 0.1  # below it two decimals say too little

_PREDICTORS: Final = {
    "network": "the network",
    "linear": "linear regression",
    "mean": "predict the mean",
}

# With the unit that the target is learned in.
_LOSSES: Final = {
    "mse": "loss (MSE), squared {unit}",
    "mae": "loss (MAE), {unit}",
    "huber": "loss (Huber, straight from 1 {unit})",
    "binary_crossentropy": "loss (binary cross-entropy of price / 50), nats",
}


@dataclass(frozen=True)
class Story:
    """What there is to tell of a run.

    Attributes:
        contract: What the version says of itself.
        schema: The columns of its table.
        split: Its rows.
        history: Loss and MAE after each epoch.
        predicted: What the network predicts for the test rows, ``[n]``, in the target's unit.
        seen: Test rows with their intervals, by level.
        agreement: How far the exported models stray, in the same unit, by place.
        data: What people know of the table; None for nothing.
    """

    contract: Contract
    schema: Schema
    split: Split
    history: History
    predicted: NDArray[np.floating]
    seen: dict[float, Seen]
    agreement: dict[str, float]
    data: DataCard | None = None


class Picture(NamedTuple):
    """One picture in both themes, as the page shows it.

    Attributes:
        name: Of its files, without their ending.
        says: What it shows, for those who cannot see it.
        light: The image.
        dark: The image.
        form: Of both, as browsers name it.
    """

    name: str
    says: str
    light: bytes
    dark: bytes
    form: str = "png"


class Related(NamedTuple):
    """A feature, its picture's name, and its correlation with the target if it has one."""

    picture: str
    column: Column
    correlation: float | None


def write(story: Story, folder: Path) -> Path:
    """Write the page and its pictures.

    Args:
        story: What to tell.
        folder: Where to; made where it is missing.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = _pictures(story)
    for picture in pictures.values():
        (folder / f"{picture.name}.png").write_bytes(picture.light)
        (folder / f"{picture.name}-dark.png").write_bytes(picture.dark)
    page = folder / PAGE
    page.write_text(render(story, pictures), encoding="utf-8")
    return page


def render(story: Story, pictures: dict[str, Picture]) -> str:
    """Fill the page's template.

    Args:
        story: What to tell.
        pictures: By name.
    """
    template = environment().get_template("report.html")
    features = story.contract.feature_names
    return template.render(
        contract=story.contract,
        schema=story.schema,
        pictures=pictures,
        predictors=_PREDICTORS,
        recipe=_recipe(story.contract.recipe, story.schema),
        correlations=_correlations(story.split, story.schema),
        agreement=story.agreement,
        data=story.data,
        typed=any(it.is_category or it.optional for it in story.schema.of(features)),
        validated=_validated(story.contract.recipe, story.schema),
        rows={"train": len(story.split.train.frame), "test": len(story.split.test.frame)},
        colours={"light": plots.LIGHT, "dark": plots.DARK},
    )


def environment() -> jinja2.Environment:
    """The templates of all pages, with what they use."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("training"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["base64"] = lambda image: base64.b64encode(image).decode()
    made.filters["measured"] = measured
    made.filters["estimate"] = estimate
    return made


def measured(value: float, digits: int = 2) -> str:
    """A figure for people: so many decimals, or three digits where those would show nothing."""
    if value and abs(value) < _SMALL:
        return f"{value:.3g}"
    return f"{value:.{digits}f}"


def estimate(figure: Estimate, form: str = ".2f") -> str:
    """A figure and its interval as text.

    Args:
        figure: The figure.
        form: How a number is written.
    """
    value = format(figure.value, form)
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({figure.low:{form}} to {figure.high:{form}})"


def _pictures(story: Story) -> dict[str, Picture]:
    made = [
        *_scatters(story.split, story.schema),
        *_curves(story.history, story.contract.recipe["loss"], story.schema),
        *_tests(story),
        *_intervals(story.seen, story.schema),
    ]
    return {picture.name: picture for picture in made}


def _scatters(split: Split, schema: Schema) -> list[Picture]:
    return [
        _picture(
            picture_name(index, name, schema),
            f"{name} against the {schema.price}, one point a training {schema.row}",
            partial(plots.scatter, split.train, name, schema),
        )
        for index, name in enumerate(split.train.features)
    ]


def picture_name(index: int, name: str, schema: Schema) -> str:
    """The name of a feature's picture; columns of any table may not be named as files are."""
    return f"feature-{index + 1 if schema.is_scaled else name}"


def _curves(history: History, loss: str, schema: Schema) -> list[Picture]:
    learned_in = "standard deviations" if schema.is_scaled else schema.unit
    curves = (
        ("loss", "Loss", _LOSSES[loss].format(unit=learned_in)),
        ("mae", "Mean absolute error", f"MAE, {schema.unit}"),
    )
    return [
        _picture(
            metric,
            f"{says} after each epoch, for train and validation",
            partial(plots.curve, history, metric, label),
        )
        for metric, says, label in curves
    ]


def _tests(story: Story) -> list[Picture]:
    prices, predicted, schema = story.split.test.prices, story.predicted, story.schema
    return [
        _picture(
            "prediction",
            f"Prediction against truth, one point a test {schema.row}",
            partial(plots.truth, prices, predicted, schema.unit),
        ),
        _picture(
            "residuals",
            f"Histogram of prediction less truth over the test {schema.rows}",
            partial(plots.residuals, prices, predicted, schema),
        ),
    ]


def _intervals(seen: dict[float, Seen], schema: Schema) -> list[Picture]:
    if not seen:
        return []
    level = USUAL_LEVEL if USUAL_LEVEL in seen else max(seen)
    return [
        _picture(
            "intervals",
            f"Intervals of {level:.0%} around the prediction, and the truth, "
            f"one test {schema.row} a line",
            partial(plots.intervals, seen[level], schema),
        ),
        _picture(
            "widths",
            f"How wide the intervals of each level are over the test {schema.rows}",
            partial(plots.widths, {it: seen[it].widths for it in seen}, schema),
        ),
    ]


def _picture(name: str, says: str, draw: Callable[[plots.Theme], bytes]) -> Picture:
    return Picture(name, says, draw(plots.LIGHT), draw(plots.DARK))


def _recipe(stored: dict[str, Any], schema: Schema) -> list[tuple[str, str, recipe.Knob]]:
    knobs = recipe.knobs()
    if schema.is_scaled:
        reason = "how far the exported models may stray from Keras"
        knobs["tolerance"] = recipe.Knob("standard deviations of the target", reason)
    return [(name, _shown(value), knobs[name]) for name, value in stored.items() if name in knobs]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "all but the target"
    return str(value)


def _validated(stored: dict[str, Any], schema: Schema) -> str:
    share, rows = stored["validation_share"], schema.rows
    return f"{share:.0%} of the training {rows}, held out" if share else f"the test {rows}"


def _correlations(split: Split, schema: Schema) -> list[Related]:
    train = split.train
    return [
        Related(
            picture_name(index, column.name, schema),
            column,
            None
            if column.is_category
            else plots.correlation(train.frame[column.name].to_numpy(np.float64), train.prices),
        )
        for index, column in enumerate(schema.of(train.features))
    ]
