"""What the network does to a row before its layers, and to their last number after them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from training.columns import TARGET
from training.encoding import Encoding, encoding
from training.errors import RecipeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.columns import Schema
    from training.recipe import Recipe
    from training.split import Rows

# Steps of single precision that an answer of the target's size may be off by rounding alone.
_ROUNDING_STEPS: Final = 8


@dataclass(frozen=True)
class Preparation:
    """What the network does to a row before its layers, and to their last number after them.

    Attributes:
        encoding: How a row becomes what the layers read; None where they read it as it is.
        unit: What the target is measured in while the network learns, in the target's unit.
        offset: What is taken from the target before, in the target's unit.
        tolerance: How far exported models may stray from Keras, in the target's unit.
    """

    encoding: Encoding | None = None
    unit: float = 1.0
    offset: float = 0.0
    tolerance: float = 0.001

    def learned(self, target: NDArray[np.float64]) -> NDArray[np.float64]:
        """The target as the network learns it: ``[n]``."""
        return (target - self.offset) / self.unit


def plain(recipe: Recipe) -> Preparation:
    """What a table of the census's numbers needs.

    Binary cross-entropy takes shares: the price as a share of the greatest there is, which
    the census sets at 50. All other losses take thousand USD.
    """
    unit = TARGET.maximum if recipe.loss == "binary_crossentropy" else 1.0
    return Preparation(unit=unit, tolerance=recipe.tolerance)


def prepare(recipe: Recipe, schema: Schema, train: Rows) -> Preparation:
    """Find out what the training rows need.

    Args:
        recipe: How the network will be trained.
        schema: The columns.
        train: The training rows, and no other.

    Raises:
        RecipeError: The loss is not for this target.
    """
    encoded = encoding(schema.of(train.features), train.batch)
    if not schema.is_scaled:
        return replace(plain(recipe), encoding=encoded)
    if recipe.loss == "binary_crossentropy":
        raise RecipeError(
            "loss", f"is {recipe.loss}, which is for a target with a greatest value, not for any"
        )
    unit, offset = float(train.prices.std()), float(train.prices.mean())
    rounding = _ROUNDING_STEPS * float(np.spacing(np.float32(np.abs(train.prices).max())))
    return Preparation(encoded, unit, offset, max(recipe.tolerance * unit, rounding))
