"""The page of several workers shows what was measured, and the guide has its figures."""

from __future__ import annotations

import statistics
from pathlib import Path

import msgspec

from benchmarks import distributed

DOCS = Path(__file__).parents[3] / "docs"
KEPT = msgspec.json.decode(
    (DOCS / "distributed-benchmarks.json").read_bytes(), type=distributed.Results
)


def test_the_page_is_what_the_raw_results_give():
    assert (DOCS / "distributed-benchmarks.md").read_text() == distributed.page(KEPT)


def test_the_guide_has_the_same_figures():
    guide = (DOCS / "training.md").read_text()
    networks: dict[tuple[int, ...], list[str]] = {}
    for it in KEPT.cases:
        networks.setdefault(it.case.widths, []).append(f"{statistics.median(it.times):.2f}")

    for widths, times in networks.items():
        assert f"| {'-'.join(map(str, widths))} | {' | '.join(times)} |" in guide
    least = statistics.median(KEPT.cases[0].times)
    assert round(1 / least) in range(24, 28)  # "slower than one, twenty-five times"


def test_weights_are_those_of_the_dense_layers():
    # 16 features and a bias into 2 units, 2 and a bias into 3, 3 and a bias into 1.
    assert distributed.Case((2, 3), 1).weights == 17 * 2 + 3 * 3 + 4
