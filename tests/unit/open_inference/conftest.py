"""Workers of fakes."""

from __future__ import annotations

import pytest

from tests.unit.open_inference.world import DATATYPES, Echo, TwoOutputs, World
from tests.unit.service.fakes import Adder, Broken


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    """A worker with the housing model, one that breaks, and one that echoes each datatype."""
    models = {"housing": Adder(), "broken": Broken(), "two": TwoOutputs()}
    echoes = {f"echo_{name}": Echo(dtype) for name, dtype in DATATYPES.items()}
    fixed = {"fixed": Echo("float32", 2, -1), "open": Echo("float32", -1, -1, -1)}
    return World(tmp_path_factory.mktemp("models"), models | echoes | fixed)
