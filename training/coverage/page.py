"""The page of a study, as Markdown, each sentence and table made from its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import jinja2

from training.coverage.study import SPREADS
from training.signatures import USUAL_LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.coverage.study import Share, Study

PAGE: Final = "coverage.md"
DATA: Final = "coverage.json"


def render(studies: Sequence[Study]) -> str:
    """Write the page.

    Args:
        studies: One a recipe.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("training"),
        autoescape=False,  # noqa: S701 - Markdown, of our own words and numbers
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return made.get_template("coverage.md").render(
        studies=studies, spreads=list(SPREADS), usual=USUAL_LEVEL, verdict=verdict
    )


def verdict(study: Study) -> str:
    """Which widths hold the usual level more evenly over the prices, and how wide both are."""
    usual = {it.widths: it for it in study.shares if it.level == USUAL_LEVEL}
    quarters = study.quarters[0].shares
    apart = {
        kind: _apart([it for it in shares if it is not None]) for kind, shares in quarters.items()
    }
    evener = min(SPREADS, key=apart.__getitem__)
    other = next(it for it in SPREADS if it != evener)
    return (
        f"At {USUAL_LEVEL:.0%} the quarters by predicted price are {_points(apart[evener])} apart "
        f"with widths {_of(evener)}, {_points(apart[other])} with widths {_of(other)}; the mean "
        f"widths are {_width(usual[evener])} and {_width(usual[other])} thousand USD."
    )


def _apart(shares: Sequence[float]) -> float:
    return max(shares) - min(shares)


def _points(share: float) -> str:
    points = round(100 * share)
    return f"{points} point" if points == 1 else f"{points} points"


def _of(kind: str) -> str:
    return "that are constant" if kind == "constant" else kind


def _width(share: Share) -> str:
    return f"{share.width:.1f}"
