"""A served model as the document needs it: the forms of its rows and answers, and an example."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from service import contract as contracts
from service.inference.signature import DEFAULT_SIGNATURE, Signature
from service.protocols import levels
from service.repository.version import takes_examples

if TYPE_CHECKING:
    from service.contract import Feature
    from service.inference.signature import TensorSpec
    from service.repository.version import ModelVersion

# NumPy's kinds of types, and what JSON has for them.
_KINDS: Final = {"f": "number", "i": "integer", "u": "integer", "b": "boolean", "O": "string"}
_EXAMPLES: Final = {"number": 1.0, "integer": 1, "boolean": True, "string": "text"}


@dataclass(frozen=True)
class Served:
    """One model.

    Attributes:
        version: The version that answers where none is named.
        numbers: All versions that are served.
        labels: The labels that may stand in a path.
    """

    version: ModelVersion
    numbers: tuple[int, ...]
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        """The model's name as one part of a path."""
        return quote(self.version.model, safe="")

    @cached_property
    def signature(self) -> Signature:
        """The default signature; one without anything if the model has none."""
        return self.version.executor.signatures.get(DEFAULT_SIGNATURE, Signature({}, {}))

    @property
    def features(self) -> tuple[Feature, ...]:
        """The contract's features; none if it has none."""
        return () if self.version.contract is None else self.version.contract.features

    @cached_property
    def instances(self) -> dict[str, Any]:
        """The form of ``instances``: at least one row, all of one kind."""
        if not self.features:
            return _at_least_one(self._row())
        by_order = {
            "type": "array",
            "description": f"Numbers in this order: {', '.join(self._names)}.",
            "prefixItems": [_value(it) for it in self.features],
            "items": False,
            "minItems": len(self.features),
            "maxItems": len(self.features),
        }
        return {"oneOf": [_at_least_one(by_order), _at_least_one(self.by_name)]}

    @cached_property
    def columns(self) -> dict[str, Any]:
        """The form of ``inputs``: the batch. By name is left out: no schema can say one length."""
        if not self.features:
            return {}
        by_order, _ = self.instances["oneOf"]
        said = "The batch whole; it is answered as `outputs`."
        return {**by_order, "description": said}

    @cached_property
    def records(self) -> dict[str, Any]:
        """The form of ``instances`` where columns that the model does not know are passed over."""
        if not self.features:
            return self.instances
        by_order, _ = self.instances["oneOf"]
        return {"oneOf": [by_order, _at_least_one(self.record)]}

    @property
    def record(self) -> dict[str, Any]:
        """The form of one row there."""
        return {**self.by_name, "additionalProperties": True}

    @cached_property
    def by_name(self) -> dict[str, Any]:
        """The form of a row that names its features."""
        return {
            "type": "object",
            "properties": {it.name: _value(it) for it in self.features},
            "required": [it.name for it in self.features if not it.is_optional],
            "additionalProperties": False,
        }

    @cached_property
    def example(self) -> Any:
        """One row."""
        if not self.features:
            return _example(self._row())
        return {it.name: it.typical for it in self.features}

    def on_examples(self, verb: str) -> list[str]:
        """The signatures that classify, or regress, ``tf.Example`` messages: by name or method."""
        method = f"tensorflow/serving/{verb}"
        found = self.version.signatures.items()
        meant = (it for it in found if it[0] == verb or it[1].method_name == method)
        return [name for name, signature in meant if takes_examples(signature)]

    @property
    def as_example(self) -> dict[str, Any]:
        """The form of a row as ``examples`` have it: further features are passed over."""
        return (
            {**self.by_name, "additionalProperties": True} if self.features else {"type": "object"}
        )

    @property
    def levels(self) -> list[float]:
        """The levels of the intervals that it gives."""
        return list(levels.known(self.version))

    @cached_property
    def bounded(self) -> dict[str, Any]:
        """The form of one row's answer with an interval."""
        names = [*self.signature.outputs, contracts.LOWER, contracts.UPPER]
        numbers = {name: {"type": "number"} for name in names}
        return {"type": "object", "properties": numbers, "required": names}

    @cached_property
    def prediction(self) -> dict[str, Any]:
        """The form of one row's answer."""
        outputs = self.signature.outputs
        forms = {name: _nested(it, _cells(it)[1:]) for name, it in outputs.items()}
        if len(forms) == 1:
            return next(iter(forms.values()))
        return {"type": "object", "properties": forms}

    @property
    def _names(self) -> list[str]:
        return [it.name for it in self.features]

    def _row(self) -> dict[str, Any]:
        forms = {name: _nested(it, _cells(it)[1:]) for name, it in self.signature.inputs.items()}
        if len(forms) == 1:
            return next(iter(forms.values()))
        return {"type": "object", "properties": forms, "required": list(forms)}


def _at_least_one(row: Any) -> dict[str, Any]:
    return {"type": "array", "items": row, "minItems": 1}


def _value(feature: Feature) -> dict[str, Any]:
    """The form of a feature's value in a row that names it."""
    return {
        **_kind(feature),
        "description": ", ".join(filter(None, (feature.meaning, feature.unit))),
        "default": feature.typical,
    }


def _kind(feature: Feature) -> dict[str, Any]:
    kind = "string" if feature.is_category else "number"
    form: dict[str, Any] = {"type": [kind, "null"] if feature.is_optional else kind}
    if feature.is_category:
        # No enumeration: others are answered too.
        return form | {"examples": list(feature.categories)}
    return form | {"minimum": feature.minimum, "maximum": feature.maximum}


def _cells(spec: TensorSpec) -> tuple[int, ...]:
    return spec.shape or ()


def _nested(spec: TensorSpec, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Lists in lists, one a size; -1 is any."""
    if spec.shape is None:
        return {}
    if not sizes:
        dtype = spec.numpy_dtype
        return {"type": _KINDS[dtype.kind]} if dtype is not None and dtype.kind in _KINDS else {}
    limits = {} if sizes[0] < 0 else {"minItems": sizes[0], "maxItems": sizes[0]}
    return {"type": "array", "items": _nested(spec, sizes[1:]), **limits}


def _example(form: dict[str, Any]) -> Any:
    kind = form.get("type")
    if kind == "object":
        return {name: _example(it) for name, it in form["properties"].items()}
    if kind == "array":
        return [_example(form["items"])] * form.get("minItems", 1)
    return _EXAMPLES.get(str(kind), 1.0)
