"""The model card: what a version is for, how good it is and for whom, and what it must not do.

It is made from the contract's numbers and from what people know of the table.

References:
    Mitchell et al., Model Cards for Model Reporting, FAT* 2019: the headings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.report import environment
from training.versions import changed

if TYPE_CHECKING:
    from service.contract import Contract
    from training.data_card import DataCard


def render(described: Contract, known: DataCard | None) -> str:
    """The card as Markdown.

    Args:
        described: What the version says of itself.
        known: What people know of its table; None for nothing.
    """
    template = environment().get_template("model-card.md")
    return template.render(contract=described, data=known, changed=changed(described.recipe))
