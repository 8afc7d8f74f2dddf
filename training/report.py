"""The training report: one page that needs no other file, and its pictures beside it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jinja2
import numpy as np

from training import plots, recipe
from training.columns import FEATURES
from training.signatures import USUAL_LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from service.contract import Contract, Estimate
    from training.coverage import Seen
    from training.data_card import DataCard
    from training.fit import History
    from training.split import Split

PAGE: Final = "index.html"

_PREDICTORS: Final = {
    "network": "the network",
    "linear": "linear regression",
    "mean": "predict the mean",
}

_LOSSES: Final = {
    "mse": "loss (MSE), squared thousand USD",
    "mae": "loss (MAE), thousand USD",
    "huber": "loss (Huber, straight from 1 thousand USD)",
    "binary_crossentropy": "loss (binary cross-entropy of price / 50), nats",
}


@dataclass(frozen=True)
class Story:
    """What there is to tell of a run.

    Attributes:
        contract: What the version says of itself.
        split: Its rows.
        history: Loss and MAE after each epoch.
        predicted: What the network predicts for the test rows, ``[n]``, thousand USD.
        seen: The test rows with their intervals, by level.
        agreement: How far the exported models stray, thousand USD, by place.
        data: What people know of the table; None for nothing.
    """

    contract: Contract
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
    return template.render(
        contract=story.contract,
        pictures=pictures,
        predictors=_PREDICTORS,
        recipe=_recipe(story.contract.recipe),
        correlations=_correlations(story.split),
        agreement=story.agreement,
        data=story.data,
        validated=_validated(story.contract.recipe),
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
    made.filters["estimate"] = estimate
    return made


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
        *_scatters(story.split),
        *_curves(story.history, story.contract.recipe["loss"]),
        *_tests(story),
        *_intervals(story.seen),
    ]
    return {picture.name: picture for picture in made}


def _scatters(split: Split) -> list[Picture]:
    return [
        _picture(
            f"feature-{name}",
            f"{name} against the price, one point a training tract",
            partial(plots.scatter, split.train, name),
        )
        for name in split.train.features
    ]


def _curves(history: History, loss: str) -> list[Picture]:
    curves = (
        ("loss", "Loss", _LOSSES[loss]),
        ("mae", "Mean absolute error", "MAE, thousand USD"),
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
    prices, predicted = story.split.test.prices, story.predicted
    return [
        _picture(
            "prediction",
            "Prediction against truth, one point a test tract",
            partial(plots.truth, prices, predicted),
        ),
        _picture(
            "residuals",
            "Histogram of prediction less truth over the test tracts",
            partial(plots.residuals, prices, predicted),
        ),
    ]


def _intervals(seen: dict[float, Seen]) -> list[Picture]:
    if not seen:
        return []
    level = USUAL_LEVEL if USUAL_LEVEL in seen else max(seen)
    return [
        _picture(
            "intervals",
            f"Intervals of {level:.0%} around the prediction, and the truth, one test tract a line",
            partial(plots.intervals, seen[level]),
        ),
        _picture(
            "widths",
            "How wide the intervals of each level are over the test tracts",
            partial(plots.widths, {it: seen[it].widths for it in seen}),
        ),
    ]


def _picture(name: str, says: str, draw: Callable[[plots.Theme], bytes]) -> Picture:
    return Picture(name, says, draw(plots.LIGHT), draw(plots.DARK))


def _recipe(stored: dict[str, Any]) -> list[tuple[str, str, recipe.Knob]]:
    knobs = recipe.knobs()
    return [(name, _shown(value), knobs[name]) for name, value in stored.items()]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _validated(stored: dict[str, Any]) -> str:
    share = stored["validation_share"]
    return f"{share:.0%} of the training tracts, held out" if share else "the test tracts"


def _correlations(split: Split) -> list[tuple[str, str, float | None]]:
    train = split.train
    return [
        (
            name,
            FEATURES[name].meaning,
            plots.correlation(train.frame[name].to_numpy(np.float64), train.prices),
        )
        for name in train.features
    ]
