"""What the experiments end in: a page that needs no other file, and the copy in the docs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from training.experiments import pictures
from training.experiments.answers import ANSWERS
from training.experiments.models import FOLDS, REPEATS
from training.experiments.questions import QUESTIONS
from training.plots import DARK, LIGHT
from training.report import environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.experiments.answers import Answer
    from training.experiments.crossvalidation import Plan
    from training.experiments.questions import Results
    from training.report import Picture

PAGE: Final = "experiments.md"
_FOLDER: Final = "experiments"


class Section(NamedTuple):
    """One question with its answer and its pictures."""

    asks: str
    answer: Answer
    pictures: list[Picture]


def sections(results: Mapping[str, Results]) -> list[Section]:
    """Answer questions.

    Args:
        results: All of each question's, by its name.
    """
    return [
        Section(QUESTIONS[name].asks, ANSWERS[name](known), pictures.draw(name, known))
        for name, known in results.items()
    ]


def write_report(answered: list[Section], plan: Plan, rows: int, page: Path) -> None:
    """Write the page, with the pictures in it."""
    page.parent.mkdir(parents=True, exist_ok=True)
    _write(page, _render("experiments.html", answered, plan, rows))


def write_docs(answered: list[Section], plan: Plan, rows: int, docs: Path) -> None:
    """Write the copy for the docs, with the pictures for light beside it."""
    folder = docs / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for section in answered:
        for picture in section.pictures:
            (folder / f"{picture.name}.svg").write_bytes(picture.light)
    _write(docs / PAGE, _render(PAGE, answered, plan, rows))


def _render(template: str, answered: list[Section], plan: Plan, rows: int) -> str:
    found: Any = environment().get_template(template)
    text: str = found.render(
        sections=answered, how=_how(plan, rows), colours={"light": LIGHT, "dark": DARK}
    )
    return text.rstrip() + "\n"


def _how(plan: Plan, rows: int) -> str:
    return (
        "Each setting of the first questions is the tutorial's recipe with one thing changed, "
        f"trained for {plan.epochs} epochs under {plan.seeds} seeds, each with "
        f"{plan.folds}-fold cross-validation of the "
        f"{rows} training tracts: {plan.seeds * plan.folds} networks. The test tracts are not "
        "touched. MAE is in thousand USD on the held-out folds: mean of the networks ± their "
        "standard deviation. Two settings are compared on the same seed and fold; a difference is "
        "called clear beyond two standard errors (Nadeau and Bengio's, for folds that overlap). "
        f"The last question reads all features but B and cuts {FOLDS} folds {REPEATS} times; the "
        "networks' setting is chosen within each fold, by cross-validation of its other rows."
    )


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(f"{path.suffix}.tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
