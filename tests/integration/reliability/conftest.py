"""Messages that several of these tests send."""

from __future__ import annotations

import pytest

from tests.integration.rpc.calling import ROW, price_of


@pytest.fixture(scope="session")
def message() -> bytes:
    """A gRPC Predict request for one house."""
    return price_of(ROW).SerializeToString()
