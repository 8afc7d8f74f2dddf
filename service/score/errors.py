"""What keeps a table from being scored."""

from __future__ import annotations


class TableError(ValueError):
    """The table, the model, the output or an option is at fault; the message says which and how."""
