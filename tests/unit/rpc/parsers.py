"""A model that takes ``tf.Example`` messages, and says what it found in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from service.inference.signature import Signature
from service.messages import example_pb2
from service.repository.version import ModelVersion
from tests.unit.service.fakes import Adder, spec

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT = spec("object", -1, name="examples:0")
CLASSIFY = Signature(
    {"inputs": TEXT},
    {"classes": spec("object", -1, 2), "scores": spec("float32", -1, 2)},
    "tensorflow/serving/classify",
)
REGRESS = Signature(
    {"inputs": TEXT}, {"outputs": spec("float32", -1, 1)}, "tensorflow/serving/regress"
)


class Parser(Adder):
    """An executor whose value is an example's feature ``x``, and whose score is half of it."""

    name = "parser"

    def __init__(self) -> None:
        super().__init__()
        self.signatures = {**self.signatures, "classify": CLASSIFY, "regress": REGRESS}

    def run(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        if signature not in {"classify", "regress"}:
            return super().run(signature, inputs)
        values = np.array([_x(it) for it in inputs["inputs"]], np.float32)[:, np.newaxis]
        if signature == "regress":
            return {"outputs": values}
        labels = np.array([[b"no", "schön".encode()]] * len(values), object)
        return {"classes": labels, "scores": np.hstack([1 - values / 2, values / 2])}


def parser_version(number: int = 1) -> ModelVersion:
    """A version that parses."""
    executor = Parser()
    return ModelVersion(
        model="housing",
        number=number,
        path=Path("/nowhere"),
        signatures=executor.signatures,
        executor=executor,
        contract=None,
        fingerprint=(),
        loaded_at=0.0,
    )


def example(**features: Any) -> example_pb2.Example:
    """An Example: bytes, whole numbers and decimals go where they belong."""
    made = example_pb2.Example()
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        lists = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
        feature = made.features.feature[name]
        getattr(feature, lists[type(values[0])]).value.extend(values)
    return made


def _x(serialised: bytes) -> float:
    features = example_pb2.Example.FromString(serialised).features.feature
    return float(features["x"].float_list.value[0])
