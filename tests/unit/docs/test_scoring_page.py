"""The page of scoring benchmarks shows what was measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks.scoring import results

DOCS = Path(__file__).parents[3] / "docs"
KEPT = results.read(DOCS / "scoring-benchmarks.json")


def test_the_page_is_what_the_raw_results_give():
    assert (DOCS / "scoring-benchmarks.md").read_text() == results.page(KEPT)


def test_the_guide_has_the_same_figures():
    guide = " ".join((DOCS / "scoring.md").read_text().split())
    alone = max(KEPT.network_rows_s.values())

    assert f"prices {KEPT.hearth.median / 1e6:.2f} million rows a CPU second" in guide
    assert f"{KEPT.hearth.median / alone:.1%} of what the network alone does" in guide
    assert f"{KEPT.hearth.median / KEPT.loop.median:.1f} times as many as a loop" in guide
    assert f"100,000,000 rows took {KEPT.large.cpu_s:.1f} CPU seconds" in guide
    assert f"and {sum(KEPT.large.peaks_bytes) / 2**20:.0f} MB in all processes" in guide


def test_a_hundred_million_rows_were_scored_within_the_memory_given():
    assert KEPT.large.rows == 100_000_000
    assert sum(KEPT.large.peaks_bytes) < KEPT.large.bound_bytes
    assert KEPT.large.difference < 1e-3
