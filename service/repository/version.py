"""A model version that is served, and the states that one goes through."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np

from service.errors import InvalidRequest, SignatureNotFound
from service.exchange import Computed
from service.inference.columns import Columns
from service.inference.examples import to_batch
from service.inference.futures import Mapped, called
from service.inference.signature import DEFAULT_SIGNATURE
from service.repository.explainer import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray

    from service.contract import Background, Contract
    from service.exchange import Exchange
    from service.inference.executor import Executor, JoiningExecutor, QuickExecutor, Tensors
    from service.inference.signature import Signature
    from service.repository.explainer import Explainer, Explanation, Written
    from service.repository.storage import Fingerprint


# Values up to which comparing them one by one costs less than NumPy's calls.
_FEW_VALUES: Final = 32


class State(StrEnum):
    """The states of ``tensorflow.serving.ModelVersionStatus.State``."""

    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


@dataclass(frozen=True)
class VersionStatus:
    """Where a version stands.

    Attributes:
        version: Its number.
        state: Where it stands.
        error: Why it could not be loaded; empty where nothing is wrong.
    """

    version: int
    state: State
    error: str = ""


class WarmUp(NamedTuple):
    """The requests that a version was warmed up with.

    Attributes:
        records: How many.
        seconds: How long they took.
    """

    records: int = 0
    seconds: float = 0.0


_NOT_WARMED_UP: Final = WarmUp()


@dataclass(frozen=True)
class ModelVersion:
    """A loaded version: its description and what runs it.

    Attributes:
        model: The model's name.
        number: The version's number.
        path: Its folder.
        signatures: All that its SavedModel lists, as metadata shows them.
        executor: What runs it.
        contract: Its own description, where it carries one.
        fingerprint: Its files as they were when it was loaded.
        loaded_at: When, in seconds since 1970.
        warm_up: How it was warmed up.
        background: The rows that explanations compare with, where it carries them.
        number_text: The number as text, as each answer carries it.
        direct: The shortest way to run each signature that has one.
    """

    model: str
    number: int
    path: Path
    signatures: Mapping[str, Signature]
    executor: Executor
    contract: Contract | None
    fingerprint: Fingerprint
    loaded_at: float
    warm_up: WarmUp = _NOT_WARMED_UP
    background: Background | None = None
    number_text: str = field(init=False, repr=False)
    direct: Mapping[str, Direct] = field(init=False, repr=False)
    _bounds: _Bounds | None = field(init=False, repr=False)
    _from_examples: frozenset[str] = field(init=False, repr=False)
    _named: frozenset[str] = field(init=False, repr=False)
    _explainers: dict[str, Explainer] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        bounds = None if self.contract is None else _bounds(self.contract)
        named = _by_column(self.signatures, bounds)
        read = [
            name
            for name, it in self.signatures.items()
            if bounds and takes_examples(it) and name not in named
        ]
        object.__setattr__(self, "number_text", str(self.number))
        object.__setattr__(self, "direct", _directs(self.executor, bounds))
        object.__setattr__(self, "_bounds", bounds)
        object.__setattr__(self, "_from_examples", frozenset(read))
        object.__setattr__(self, "_named", named)
        object.__setattr__(self, "_explainers", {})

    def signature(self, name: str) -> Signature:
        """The signature of this name.

        Raises:
            SignatureNotFound: The version has none that can be run.
        """
        if name in self._from_examples or name in self._named:
            return self.signatures[name]
        found = self.executor.signatures.get(name)
        if found is None:
            raise SignatureNotFound(name)
        return found

    def defaults(self, name: str) -> Mapping[str, Any]:
        """What stands for inputs that a caller leaves out, as the SavedModel says."""
        found = self.signatures.get(name)
        return found.defaults if found is not None else {}

    def feature_names(self, signature: Signature) -> tuple[str, ...]:
        """The contract's names of the columns of a signature's batch; none if it takes no such.

        Of a model that reads categories, or takes missing values, they are ``Columns``.
        """
        bounds = self._bounds
        if isinstance(bounds, _ColumnBounds) and bounds.takes_named(signature):
            return bounds.columns
        if bounds is None or len(signature.inputs) > 1 or bounds.input not in signature.inputs:
            return ()
        return bounds.names

    def predict(
        self, signature: str, inputs: Tensors, exchange: Exchange | None = None
    ) -> dict[str, NDArray[Any]]:
        """Check inputs against the contract, if there is one, and run the network.

        Args:
            signature: Name of the signature.
            inputs: An array for every input of the signature.
            exchange: Who asks, where what was computed is noted and when; None for a run that is no
                caller's.

        Returns:
            An array for every output.

        Raises:
            InvalidRequest: A value does not make sense, or the network cannot take the shapes.
        """
        if signature in self._from_examples:
            return self.run_examples(signature, _serialised(inputs), exchange)
        if signature in self._named:
            signature, inputs = self._batched(inputs)
        began_s = time.perf_counter()
        if self._bounds is not None:
            self._bounds.check(inputs)
        outputs = self._run(signature, inputs, exchange)
        if exchange is not None:
            exchange.computed = Computed(self, signature, inputs, outputs)
            exchange.ran(began_s, time.perf_counter())
        return outputs

    def submit(
        self, signature: str, inputs: Tensors, exchange: Exchange | None = None
    ) -> Future[dict[str, NDArray[Any]]]:
        """Check inputs as ``predict`` does, and have the network run.

        An executor that joins is not waited for; another is, and the answer is there on return.

        Args:
            signature: Name of the signature.
            inputs: An array for every input of the signature.
            exchange: Who asks; see ``predict``.

        Returns:
            The outputs to be; cancelled before their turn comes, they are not computed.

        Raises:
            InvalidRequest: A value does not make sense, or there are too many rows.
            Overloaded: As much waits as may wait.
        """
        if signature in self._from_examples:
            return self.submit_examples(signature, _serialised(inputs), exchange)
        if signature in self._named:
            signature, inputs = self._batched(inputs)
        if self._bounds is not None:
            self._bounds.check(inputs)
        submitted = self._submit(signature, inputs, exchange)
        return _noted(
            submitted, exchange, lambda outputs: Computed(self, signature, inputs, outputs)
        )

    def _batched(self, inputs: Tensors) -> tuple[str, Tensors]:
        """The default signature, and the batch for it that inputs by name make."""
        bounds = cast("_ColumnBounds", self._bounds)
        return DEFAULT_SIGNATURE, {bounds.input: bounds.columns.batch(inputs)}

    def explain(
        self, signature: str, inputs: Tensors, written: Written | None = None
    ) -> list[Explanation]:
        """Check inputs as ``predict`` does, and say how their prices come about.

        Args:
            signature: Name of the signature.
            inputs: An array for every input of the signature.
            written: What names a category that the model does not know.

        Returns:
            One explanation an instance.

        Raises:
            ModelNotFound: The version lacks what explanations need.
            InvalidRequest: A value does not make sense, there are too many instances, or the
                signature does not take features.
        """
        explainer = self.explainer(signature)
        if self._bounds is not None:
            self._bounds.check(inputs)
        return explainer.explain(inputs, written)

    def explainer(self, signature: str) -> Explainer:
        """What explains the prices of a signature; made once.

        Raises:
            SignatureNotFound: The version has none of this name that can be run.
            ModelNotFound: The version lacks what explanations need.
            InvalidRequest: The signature does not take features.
        """
        found = self._explainers.get(signature)
        if found is not None:
            return found
        source = Source(f"version {self.number} of {self.model}", self.contract, self.background)
        made = source.explainer(signature, self.signature(signature), self._apart())
        return self._explainers.setdefault(signature, made)

    def example_signature(self, name: str, method: str) -> str:
        """The signature that takes ``tf.Example`` messages for a classify or regress request.

        Args:
            name: The signature asked for.
            method: ``classify`` or ``regress``. If the default signature is asked for and
                takes no examples, the one of this name answers.

        Raises:
            SignatureNotFound: There is none of this name.
            InvalidRequest: It takes something else.
        """
        found = self.signatures.get(name)
        if found is None:
            raise SignatureNotFound(name)
        if takes_examples(found):
            return name
        other = self.signatures.get(method)
        if name == DEFAULT_SIGNATURE and other is not None and takes_examples(other):
            return method
        raise InvalidRequest(
            f"signature {name} takes {', '.join(found.inputs)}; {method} needs one that takes "
            "tf.Example messages as its one input"
        )

    def run_examples(
        self, signature: str, examples: Sequence[bytes], exchange: Exchange | None = None
    ) -> dict[str, NDArray[Any]]:
        """Run a signature that takes ``tf.Example`` messages.

        Where the executor cannot (LiteRT has no such type), the features that the contract
        names are read from the examples and given to the default signature.

        Args:
            signature: What ``example_signature`` gave.
            examples: Serialised messages.
            exchange: Who asks; see ``predict``.

        Returns:
            An array for every output of the signature.

        Raises:
            InvalidRequest: An example does not hold what is needed.
        """
        began_s = time.perf_counter()
        call = self._example_call(signature, examples)
        outputs = self._run(call.signature, call.inputs, exchange)
        if exchange is not None:
            exchange.computed = self._computed(call, outputs)
            exchange.ran(began_s, time.perf_counter())
        return call.named(outputs)

    def submit_examples(
        self, signature: str, examples: Sequence[bytes], exchange: Exchange | None = None
    ) -> Future[dict[str, NDArray[Any]]]:
        """Have a signature run that takes ``tf.Example`` messages; see ``submit``.

        Args:
            signature: What ``example_signature`` gave.
            examples: Serialised messages.
            exchange: Who asks; see ``predict``.

        Returns:
            The outputs to be.

        Raises:
            InvalidRequest: An example does not hold what is needed, or there are too many.
            Overloaded: As much waits as may wait.
        """
        call = self._example_call(signature, examples)
        submitted = self._submit(call.signature, call.inputs, exchange)
        future = _noted(submitted, exchange, lambda outputs: self._computed(call, outputs))
        return future if call.names is None else Mapped(future, call.named)

    def _apart(self) -> Executor:
        """What runs calls that are to be joined with none."""
        return (
            cast("JoiningExecutor", self.executor).apart if self.executor.joins else self.executor
        )

    def _run(
        self, signature: str, inputs: Tensors, exchange: Exchange | None
    ) -> dict[str, NDArray[Any]]:
        if self.executor.joins and exchange is not None:
            return self._submit(signature, inputs, exchange).result()
        return self.executor.run(signature, inputs)

    def _submit(
        self, signature: str, inputs: Tensors, exchange: Exchange | None
    ) -> Future[dict[str, NDArray[Any]]]:
        if self.executor.joins:
            deadline_s = math.inf if exchange is None else exchange.deadline_s
            return cast("JoiningExecutor", self.executor).submit(signature, inputs, deadline_s)
        return called(lambda: self.executor.run(signature, inputs))

    def _computed(self, call: _ExampleCall, outputs: Tensors) -> Computed:
        """What to note of a run on examples: their features, where the contract names them."""
        if self.contract is None or call.batch is None or call.signature == DEFAULT_SIGNATURE:
            return Computed(self, call.signature, call.inputs, outputs)
        inputs = {self.contract.input: call.batch}
        prices = {self.contract.output: next(iter(outputs.values()))}
        return Computed(self, DEFAULT_SIGNATURE, inputs, prices)

    def _example_call(self, signature: str, examples: Sequence[bytes]) -> _ExampleCall:
        """What to run for examples.

        Raises:
            InvalidRequest: An example does not hold what is needed.
            SignatureNotFound: Nothing here can run the signature.
        """
        batch = None
        if self.contract is not None and self._bounds is not None:
            batch = to_batch(examples, self._bounds.names)
            self._bounds.check({self.contract.input: batch})
        if signature in self.executor.signatures:
            name = next(iter(self.executor.signatures[signature].inputs))
            return _ExampleCall(signature, {name: np.array(examples, object)}, batch=batch)
        if self.contract is None or batch is None:
            raise SignatureNotFound(signature)
        name = next(iter(self.signatures[signature].outputs))
        inputs = {self.contract.input: batch}
        return _ExampleCall(DEFAULT_SIGNATURE, inputs, {name: self.contract.output})


class Direct:
    """The shortest way from a small batch to its outputs, where nothing is unusual.

    Args:
        signature: Name of the signature.
        input: Name of the one input, float32 ``[n, width]``.
        width: Its columns.
        output: Name of the one output.
        call: From the input's array to the output's.
        bounds: The contract's limits, where there is a contract.
    """

    def __init__(
        self,
        signature: str,
        input: str,  # noqa: A002 - its name everywhere
        width: int,
        output: str,
        call: Callable[[NDArray[Any]], NDArray[Any]],
        bounds: _Bounds | None,
    ) -> None:
        self.signature = signature
        self.input = input
        self.width = width
        self.output = output
        self.feature_names = () if bounds is None else bounds.plain_names
        self._call = call
        self._bounds = bounds

    def run(self, batch: NDArray[Any]) -> NDArray[Any] | None:
        """Run a batch.

        Args:
            batch: float32 ``[n, k]``.

        Returns:
            The output; None for a batch that is large, or that ``ModelVersion.predict`` may refuse.
        """
        if batch.shape[1] != self.width or batch.size > _FEW_VALUES:
            return None
        if self._bounds is not None and not self._bounds.hold_few(batch):
            return None
        return self._call(batch)

    def note(
        self, exchange: Exchange, version: ModelVersion, batch: NDArray[Any], output: NDArray[Any]
    ) -> None:
        """Note what is answered, once ``run`` has given an output that is sent."""
        exchange.answers(version)
        exchange.rows = len(batch)
        exchange.computed = Computed(
            version, self.signature, {self.input: batch}, {self.output: output}, is_small=True
        )


def _directs(executor: Executor, bounds: _Bounds | None) -> dict[str, Direct]:
    found = {}
    for name, signature in executor.signatures.items() if executor.quick else ():
        if signature.only_input is None or len(signature.outputs) != 1:
            continue
        (only, spec), (output,) = signature.only_input, signature.outputs
        if not spec.is_float32 or len(spec.shape or ()) != 2:
            continue
        call = cast("QuickExecutor", executor).only(name)
        if call is not None and (bounds is None or bounds.input == only):
            found[name] = Direct(name, only, spec.shape[1], output, call, bounds)  # type: ignore[index]
    return found


@dataclass(frozen=True, slots=True)
class _ExampleCall:
    """How examples are run.

    Attributes:
        signature: Name of the signature to run.
        inputs: Its arrays.
        names: The outputs to give, and what the signature calls them; None for all as they are.
        batch: The features read from the examples, ``[n, features]``; None where nobody reads.
    """

    signature: str
    inputs: Tensors
    names: Mapping[str, str] | None = None
    batch: NDArray[Any] | None = None

    def named(self, outputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs under the names that were asked for."""
        if self.names is None:
            return outputs
        return {name: outputs[own] for name, own in self.names.items()}


def _noted(
    future: Future[dict[str, NDArray[Any]]],
    exchange: Exchange | None,
    computed: Callable[[dict[str, NDArray[Any]]], Computed],
) -> Future[dict[str, NDArray[Any]]]:
    """The future; what comes of it is noted for who asks, before anybody else is told."""
    if exchange is None:
        return future

    def note(done: Future[dict[str, NDArray[Any]]]) -> None:
        if not done.cancelled() and done.exception() is None:
            exchange.computed = computed(done.result())

    future.add_done_callback(note)
    return future


def _serialised(inputs: Tensors) -> list[bytes]:
    """The messages that a signature of one input of strings is given.

    Raises:
        InvalidRequest: They are not in a row.
    """
    ((name, values),) = inputs.items()
    if values.ndim != 1:
        raise InvalidRequest(f"{name} has shape {list(values.shape)}, expected [n]")
    return [it if isinstance(it, bytes) else str(it).encode() for it in values.tolist()]


def takes_examples(signature: Signature) -> bool:
    """Whether a signature's one input is of strings: serialised ``tf.Example`` messages."""
    specs = list(signature.inputs.values())
    return len(specs) == 1 and specs[0].numpy_dtype == np.dtype(object)


class _Bounds:
    """The contract's limits, for a batch that is small and for one that is not."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.input = contract.input
        self.names: tuple[str, ...] = contract.feature_names
        self.minimum = np.array([it.minimum for it in contract.features], np.float32)
        self.maximum = np.array([it.maximum for it in contract.features], np.float32)
        # The same numbers, of the same precision, as Python compares them fastest.
        self._limits = list(zip(self.minimum.tolist(), self.maximum.tolist(), strict=True))

    def check(self, inputs: Tensors) -> None:
        """Refuse a batch, or a set of named columns, with a value outside its limits."""
        batch = inputs.get(self.input)
        if batch is not None:
            self._check_batch(batch)
            return
        for index, feature in enumerate(self.contract.features):
            if feature.name in inputs:
                self._check_column(inputs[feature.name], index)
        self._check_lengths(inputs)

    def _check_batch(self, batch: NDArray[Any]) -> None:
        names = self.names
        if batch.ndim != 2 or batch.shape[1] != len(names):
            raise InvalidRequest(
                f"{self.contract.input} has shape {list(batch.shape)}, "
                f"expected [n, {len(names)}] ({', '.join(names)})"
            )
        if batch.size <= _FEW_VALUES and self.hold_few(batch):
            return
        inside = self._inside(batch)
        if not inside.all():
            row, column = np.argwhere(~inside)[0]
            raise self._outside(int(row), int(column), batch[row, column])

    @property
    def plain_names(self) -> tuple[str, ...]:
        """The names by which rows of plain numbers may be given."""
        return self.names

    def _inside(self, batch: NDArray[Any]) -> NDArray[np.bool_]:
        """Which values are within their limits, ``[n, features]``."""
        # NaN fails every comparison, so it is caught here too.
        inside: NDArray[np.bool_] = (batch >= self.minimum) & (batch <= self.maximum)
        return inside

    def hold_few(self, batch: NDArray[Any]) -> bool:
        """Whether all values of a small batch, of the right width, are within their limits."""
        for row in batch.tolist():
            for value, (low, high) in zip(row, self._limits, strict=True):
                if not low <= value <= high:
                    return False
        return True

    def _check_column(self, values: NDArray[Any], index: int) -> None:
        if values.ndim != 1:
            name = self.contract.features[index].name
            raise InvalidRequest(f"{name} has shape {list(values.shape)}, expected [n]")
        inside = (values >= self.minimum[index]) & (values <= self.maximum[index])
        if not inside.all():
            row = int(np.argmin(inside))
            raise self._outside(row, index, values[row])

    def _check_lengths(self, inputs: Tensors) -> None:
        lengths = {name: len(values) for name, values in inputs.items() if values.ndim}
        if len(set(lengths.values())) > 1:
            raise InvalidRequest(f"the inputs differ in number of rows: {lengths}")

    def _outside(self, row: int, index: int, value: float) -> InvalidRequest:
        feature = self.contract.features[index]
        place = f"instances[{row}].{feature.name}"
        if not np.isfinite(value):
            return InvalidRequest(f"{place} is not a finite number ({value:g})")
        unit = "" if feature.unit in {"", "1"} else f" {feature.unit}"
        return InvalidRequest(
            # All digits: 100.00001 is not to be shown as 100, outside [0, 100].
            f"{place} is {str(value).removesuffix('.0')}{unit}, "
            f"outside [{feature.minimum:g}, {feature.maximum:g}]"
        )


class _ColumnBounds(_Bounds):
    """The limits of a contract with categories, or with values that may be missing."""

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract)
        self.columns = Columns(contract)
        self.names = self.columns
        self._optional = np.array([it.is_optional for it in contract.features])
        self._coded = np.array([it.is_category for it in contract.features])

    @property
    def plain_names(self) -> tuple[str, ...]:
        """None where a number by name may be a category's name, and no number of a batch."""
        return () if self.columns.has_categories else self.columns

    def takes_named(self, signature: Signature) -> bool:
        """Whether a signature takes the features as one input each."""
        return signature.inputs.keys() == set(self.columns.inputs)

    def _inside(self, batch: NDArray[Any]) -> NDArray[np.bool_]:
        whole = ~self._coded | (batch == np.floor(batch))
        missing = np.isnan(batch) & self._optional
        inside: NDArray[np.bool_] = super()._inside(batch) & whole | missing
        return inside

    def hold_few(self, batch: NDArray[Any]) -> bool:
        """See ``_Bounds``."""
        return bool(self._inside(batch).all())

    def _check_column(self, values: NDArray[Any], index: int) -> None:
        there = values[~np.isnan(values)] if self._optional[index] else values
        super()._check_column(there, index)


def _bounds(contract: Contract) -> _Bounds:
    typed = isinstance(Columns.of(contract), Columns)
    return _ColumnBounds(contract) if typed else _Bounds(contract)


def _by_column(signatures: Mapping[str, Signature], bounds: _Bounds | None) -> frozenset[str]:
    """The signatures that take each column by name, if some of them are texts."""
    if not isinstance(bounds, _ColumnBounds):
        return frozenset()
    return frozenset(name for name, it in signatures.items() if bounds.takes_named(it))
