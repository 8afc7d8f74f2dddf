"""Explanations as JSON: KServe V1's ``:explain``, and partial dependence.

References:
    https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol: the
    answer to ``:explain`` has ``predictions`` and ``explanations``, a list each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.contract import Contract
    from service.repository.explainer import Explainer, Explanation


def encode_explanations(explanations: Sequence[Explanation]) -> bytes:
    """Write the answer to an explain request; what is not finite becomes null."""
    return msgspec.json.encode(
        {"predictions": [it.price for it in explanations], "explanations": explanations}
    )


def encode_dependence(explainer: Explainer, contract: Contract) -> bytes:
    """Write how prices depend on each feature."""
    target = contract.target
    return msgspec.json.encode(
        {
            "base": explainer.base,
            "target": target.name,
            "unit": target.unit,
            "features": explainer.dependence,
        }
    )
