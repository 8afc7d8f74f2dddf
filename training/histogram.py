"""How a column's training values fall into bins, for the service to compare later ones with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A column of so many different values has a bin for each: deciles would hide the rare ones.
_FEW_VALUES: Final = 10


def edges(values: NDArray[np.floating]) -> tuple[float, ...]:
    """The bounds of a column's bins; see ``service.contract.Distribution``.

    Args:
        values: ``[n]``, at least one.

    Returns:
        Its deciles, each once; of a column of few values the middles between neighbours, with
        the least and the greatest value around them. Numbers of float32, as requests carry them.
    """
    seen = np.unique(values.astype(np.float32))
    if len(seen) == 1:
        found = np.repeat(seen, 2)
    elif len(seen) <= _FEW_VALUES:
        middles = seen[:-1] + (seen[1:] - seen[:-1]) / 2
        found = np.unique(np.concatenate([seen[:1], middles, seen[-1:]]))
    else:
        deciles = np.quantile(values.astype(np.float32), np.linspace(0, 1, 11))
        found = np.unique(deciles.astype(np.float32))
    # The shortest decimals that are read as these: 20.2, not 20.200000762939453.
    return tuple(float(str(np.float32(it))) for it in found)


def shares(values: NDArray[np.floating], bounds: tuple[float, ...]) -> tuple[float, ...]:
    """Each bin's share of a column's values.

    Args:
        values: ``[n]``, at least one, none outside the bounds.
        bounds: What ``edges`` gave for them.
    """
    inner = np.array(bounds[1:-1], np.float32)
    places = np.searchsorted(inner, values.astype(np.float32), side="left")
    counts = np.bincount(places, minlength=len(bounds) - 1)
    return tuple(float(it) for it in counts / len(values))
