"""``python -m benchmarks.scoring`` measures, checks and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.scoring import results
from benchmarks.scoring.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path


def test_small_run_measures_all_and_writes_the_page(housing_models: Path, tmp_path: Path) -> None:
    status = main(
        [
            "--model_base_path", str(housing_models / "housing"), "--rows", "1100000",
            "--sample_rows", "100000", "--rounds", "1", "--processes", "2",
            "--folder", str(tmp_path), "--output", str(tmp_path / "page.md"),
        ]
    )  # fmt: skip

    assert status == 0
    found = results.read(tmp_path / "page.json")
    assert (tmp_path / "page.md").read_text() == results.page(found)
    assert (found.large.rows, found.large.checked) == (1_100_000, 10_000)
    assert found.large.difference < 1e-3
    assert len(found.large.peaks_bytes) >= 2
    assert sorted(it.name for it in tmp_path.iterdir()) == ["page.json", "page.md"]
