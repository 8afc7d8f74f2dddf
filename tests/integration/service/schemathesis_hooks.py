"""What schemathesis is not to try: numbers that are past a limit, but not in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import schemathesis


@schemathesis.hook  # type: ignore[untyped-decorator]
def filter_body(_context: Any, body: Any) -> bool:
    """Whether a body's numbers are what the service, which computes in float32, takes them for."""
    return not any(map(_becomes_whole, _numbers(body)))


def _becomes_whole(number: float) -> bool:
    """Whether a number that is not whole is so in single precision: limits are whole."""
    with np.errstate(over="ignore"):
        single = float(np.float32(number))
    return single != number and single.is_integer()


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [it for held in value.values() for it in _numbers(held)]
    if isinstance(value, list):
        return [it for held in value for it in _numbers(held)]
    return [value] if isinstance(value, float) else []
