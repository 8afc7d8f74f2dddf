"""Penguins of Palmer Archipelago: a table with categories, missing values and odd names."""

from __future__ import annotations

from pathlib import Path

import palmerpenguins

DATA = Path(palmerpenguins.__file__).parent / "data" / "penguins-raw.csv"
FEATURES = ("Species", "Flipper Length (mm)", "Sex", "Delta 15 N (o/oo)")
TARGET = "Body Mass (g)"


def line(models: Path) -> list[str]:
    """The arguments of the command that trains them into a models folder."""
    about = ["--data", DATA, "--target", TARGET, "--features", ",".join(FEATURES)]
    how = ["--models", models, "--name", "penguins", "--epochs", 40, "--coverage_splits", 0]
    return [str(it) for it in (*about, *how)]
