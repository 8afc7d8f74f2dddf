"""The traffic that drift is measured with, and how its page is written."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from scipy import stats

from benchmarks.drift.__main__ import _page, _wilson
from benchmarks.drift.cost import Cost
from benchmarks.drift.simulation import Delay, FalseAlarms, Population, Watch, _delay, changes


@pytest.fixture(scope="module")
def population():
    return Population(1)


def test_as_many_houses_as_are_wanted_are_like_the_table_s(population):
    drawn = population.draw(20_000)

    assert drawn.mean(axis=0) == pytest.approx(population.mean, rel=0.02)
    assert (drawn >= 0).all()
    assert (drawn[:, 1:] <= 100).all()


def test_ordinary_requests_are_not_drifted_and_changed_ones_are(population):
    watch = Watch(population, population.draw(404))

    assert watch.drifted(watch.count(population.draw(500))) == []
    for column, change in changes(population).values():
        assert column in watch.drifted(watch.count(change(population.draw(20_000))))


def test_a_great_change_is_seen_within_its_first_window(population):
    column, change = changes(population)["AGE always 0"]

    assert _delay(population, change, column, 300) < 300


@pytest.mark.parametrize(("hits", "tries"), [(0, 100), (1, 2000), (7, 10), (10, 10)])
def test_the_interval_of_a_share_is_scipys(hits, tries):
    expected = stats.binomtest(hits, tries).proportion_ci(method="wilson")

    assert _wilson(hits, tries) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_the_page_says_what_was_not_seen():
    page = "\n".join(
        _page(
            [FalseAlarms("ordinary", 100, 2000, 2, 0.05)],
            [Delay("a small one", 100, 10, 4, None, None)],
            [Cost("nobody looks", 10.0, 0.0)],
            argparse.Namespace(output=Path("page.md")),
        )
    )

    assert "| ordinary | 100 | 2,000 | 2 | 0.10 (0.03 to 0.36) | 5.0 |" in page
    assert "| a small one | 100 | 10 | 40 | not seen | not seen |" in page
