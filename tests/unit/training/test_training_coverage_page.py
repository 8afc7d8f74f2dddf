"""docs/coverage.md is what its numbers say, and a small study runs from table to page."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.unit.training.tracts import QUICK, tracts
from training.coverage import page
from training.coverage.__main__ import main, parser
from training.coverage.study import Quarters, Share, Study, study
from training.preparation import Preparation
from training.recipe import NAMED

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def stored() -> list[Study]:
    return msgspec.json.decode((DOCS / page.DATA).read_bytes(), type=list[Study])


def test_page_is_made_from_the_stored_numbers(stored):
    assert (DOCS / page.PAGE).read_text() == page.render(stored)


def test_page_has_the_splits_that_the_command_makes(stored):
    made = parser().parse_args([]).splits

    assert {it.recipe: it.splits for it in stored} == {name: made[name] for name in NAMED}


def test_levels_hold_over_the_splits(stored):
    """Within three standard errors of a mean of so many splits."""
    for it in stored:
        for share in it.shares:
            assert abs(share.mean - share.level) < 3 * share.std / it.splits**0.5, share


def test_verdict_names_the_evener_widths_and_what_they_cost():
    shares = (Share(0.9, "by price", 0.9, 0.02, 0.8, 1, 12.44), Share(0.9, "constant", *[0.9] * 5))
    quarters = Quarters(
        "predicted price",
        (1, 2, 3),
        {"by price": (0.9, 0.91, 0.88, 0.92), "constant": (0.95, 0.9, 0.9, 0.8)},
    )

    said = page.verdict(Study("tutorial", 20, 404, 102, shares, (quarters,)))

    assert said == (
        "At 90% the quarters by predicted price are 4 points apart with widths by price, "
        "15 points with widths that are constant; the mean widths are 12.4 and 0.9 thousand USD."
    )


def test_a_quarter_without_rows_has_no_share():
    rows = tracts(60)
    rows.frame["LSTAT"] = np.arange(60) // 58  # nearly all are 0

    found = study("quick", QUICK, rows, 2, Preparation())

    (shares,) = (it.shares["constant"] for it in found.quarters if it.by == "LSTAT")
    assert shares[1:3] == (None, None)
    assert "-, -" in page.render([found])


def test_study_counts_every_tested_row_once():
    found = study("quick", QUICK, tracts(100), 4, Preparation())

    assert (found.train, found.test, found.splits) == (80, 20, 4)
    assert {(it.level, it.widths) for it in found.shares} == {
        (level, widths) for level in (0.8, 0.9, 0.95) for widths in ("by price", "constant")
    }
    by_widths = {it.widths: it for it in found.shares if it.level == 0.9}
    for quarters in found.quarters:
        for widths, shares in quarters.shares.items():
            # Quarters of equal size: their mean is the mean of all.
            assert sum(shares) / 4 == pytest.approx(by_widths[widths].mean, abs=1e-3)
    assert [it.by for it in found.quarters] == ["predicted price", "RM", "LSTAT"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--splits", "tutorial=0"], "tutorial=0 is outside [1, 1000]"),
        (["--splits", "best=2,worst=3"], "'worst' is not one of tutorial, best"),
        (["--splits", "best"], "invalid _splits value: 'best'"),
    ],
)
def test_wrong_flag_is_named(capsys, arguments, said):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)

    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_table_that_is_not_there_is_named(capsys, tmp_path):
    assert main(["--data", str(tmp_path / "none.csv")]) == 1
    assert "No such file or directory" in capsys.readouterr().err
