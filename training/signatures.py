"""The names that callers of a version meet: its signatures, their input and their output."""

from __future__ import annotations

from typing import Final

from service import contract

BATCH: Final = "serving_default"  # takes INPUT
NAMED: Final = contract.NAMED  # takes one input a feature, under the feature's name
REGRESS: Final = "regress"  # takes EXAMPLES, gives VALUES: TensorFlow Serving's own names

INPUT: Final = "features"
OUTPUT: Final = "price"
EXAMPLES: Final = "inputs"
VALUES: Final = "outputs"

# Takes INPUT and gives OUTPUT, and ``lower`` and ``upper`` at the usual level. There is one
# for each level too.
INTERVAL: Final = contract.INTERVAL
USUAL_LEVEL: Final = contract.USUAL_LEVEL


def interval(level: float) -> str:
    """The signature of a level's intervals: ``interval_90`` of 0.9."""
    return f"{INTERVAL}_{level * 100:g}"
