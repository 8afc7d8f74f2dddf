"""A network that is called otherwise than its contract says: here it is called as that says.

Versions of ``training`` need nothing of this. A network that was trained elsewhere takes its
batch under another name, or each column by itself, and gives a column ``[n, 1]``; and servers
behind may run the default signature alone. What is missing then is done here: ``serving_default``
takes the contract's batch and gives ``[n]``, ``named`` takes each column by itself, and intervals
are made around that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from service.contract import INTERVAL, LOWER, NAMED, UPPER, USUAL_LEVEL, Network
from service.errors import InternalError, InvalidRequest, VersionRefused
from service.inference.futures import Mapped
from service.inference.signature import DEFAULT_SIGNATURE, Signature, spec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from service.contract import Contract, Intervals
    from service.inference.executor import Executor, JoiningExecutor, QuickExecutor, Tensors
    from service.inference.signature import TensorSpec

    Outputs = dict[str, NDArray[Any]]

_NUMBERS: Final = "fiu"  # kinds of NumPy's types that a column of numbers may have
_ROWS: Final = -1


def as_described(executor: Executor, contract: Contract) -> Executor:
    """The executor of a version, called as its contract says.

    Args:
        executor: What runs the network.
        contract: The version's.

    Returns:
        The executor itself, where nothing is missing; and where it is no network of this contract,
        which its golden rows will show.

    Raises:
        VersionRefused: The network cannot be called as the contract says that it is.
    """
    own, network = executor.signatures.get(DEFAULT_SIGNATURE), contract.network
    if own is None or (network is None and not _is_of(contract, own)):
        return executor
    if network is None and _is_column(own.outputs.get(contract.output)):
        network = Network((contract.input,), contract.output)
    made = _intervals(contract.intervals, executor.signatures)
    if network is None and not made:
        return executor
    call = None if network is None else Call(network, own, len(contract.features))
    return Described(executor, contract, call, made)


class Described:
    """Runs a network as its contract says; see ``Executor``, of which it is each kind.

    Args:
        network: What runs it.
        contract: What it takes and gives.
        call: How ``serving_default`` is called there; None for as the contract says.
        intervals: The factor of each signature of intervals that is made here.
    """

    def __init__(
        self,
        network: Executor,
        contract: Contract,
        call: Call | None,
        intervals: Mapping[str, float],
    ) -> None:
        self.network = network
        self.name = network.name
        self.quick = network.quick
        self.joins = network.joins
        self._contract = contract
        self._call = call
        self._factors = intervals
        default = network.signatures[DEFAULT_SIGNATURE] if call is None else _said(contract)
        price = default.outputs[contract.output]
        # Of categories it would take texts, which are no business of this.
        takes_columns = call is not None and not any(it.is_category for it in contract.features)
        bounded = Signature(default.inputs, dict.fromkeys((contract.output, LOWER, UPPER), price))
        self.signatures: Mapping[str, Signature] = {
            **({NAMED: _named(contract)} if takes_columns else {}),
            **network.signatures,
            DEFAULT_SIGNATURE: default,
            **dict.fromkeys(intervals, bounded),
        }

    @property
    def joined(self) -> list[str]:
        """None: each call goes to the network by itself."""
        return []

    @property
    def apart(self) -> Executor:
        """Itself."""
        return self

    def run(self, signature: str, inputs: Tensors) -> Outputs:
        """Compute a signature's outputs; see ``Executor.run``."""
        if not self._is_made(signature):
            return self.network.run(signature, inputs)
        rows, given = self._given(signature, inputs)
        return self._made(signature, rows, self.network.run(DEFAULT_SIGNATURE, given))

    def submit(
        self, signature: str, inputs: Tensors, deadline_s: float = math.inf
    ) -> Future[Outputs]:
        """Have a signature's outputs computed; see ``JoiningExecutor.submit``."""
        network = cast("JoiningExecutor", self.network)
        if not self._is_made(signature):
            return network.submit(signature, inputs, deadline_s)
        rows, given = self._given(signature, inputs)
        asked = network.submit(DEFAULT_SIGNATURE, given, deadline_s)
        return Mapped(asked, lambda outputs: self._made(signature, rows, outputs))

    def only(self, signature: str) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
        """A quicker way to run a signature; see ``QuickExecutor.only``."""
        network = cast("QuickExecutor", self.network)
        if not self._is_made(signature):
            return network.only(signature)
        plain = signature == DEFAULT_SIGNATURE and self._call is not None and self._call.is_plain
        call = network.only(DEFAULT_SIGNATURE) if plain else None
        return None if call is None else lambda batch: call(batch).reshape(-1)

    def _is_made(self, signature: str) -> bool:
        if self._is_bounded(signature):
            return True
        if signature == NAMED:
            return NAMED not in self.network.signatures
        return self._call is not None and signature == DEFAULT_SIGNATURE

    def _is_bounded(self, signature: str) -> bool:
        return signature in self._factors

    def _given(self, signature: str, inputs: Tensors) -> tuple[int, Tensors]:
        """How many rows there are, and what the network is given for them."""
        names = self._contract.input_names if signature == NAMED else (self._contract.input,)
        columns = [inputs[it] for it in names]
        batch = np.stack(columns, axis=1) if signature == NAMED else columns[0]
        return len(batch), inputs if self._call is None else self._call.inputs(batch)

    def _made(self, signature: str, rows: int, outputs: Outputs) -> Outputs:
        if self._call is not None:
            outputs = {self._contract.output: self._call.output(outputs, rows)}
        if not self._is_bounded(signature) or self._contract.intervals is None:
            return outputs
        price = outputs[self._contract.output]
        lower, upper = bounds(price, self._contract.intervals, self._factors[signature])
        return {self._contract.output: price, LOWER: lower, UPPER: upper}


@dataclass(frozen=True)
class _Column:
    """An input of the network that takes one column.

    Attributes:
        name: Its name.
        dtype: Its type.
        shape: Sizes behind the rows: none, or 1.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Call:
    """How a network's own ``serving_default`` is called with a batch.

    Args:
        network: What it takes and gives.
        own: Its signature.
        width: Columns of the batch.

    Attributes:
        is_plain: Whether the batch is what it takes, as it is.

    Raises:
        VersionRefused: They do not go together.
    """

    def __init__(self, network: Network, own: Signature, width: int) -> None:
        if set(network.inputs) != own.inputs.keys():
            raise VersionRefused(
                f"the network takes {sorted(own.inputs)}, not {sorted(network.inputs)}"
            )
        if network.output not in own.outputs:
            raise VersionRefused(
                f"the network gives {sorted(own.outputs)}, no {network.output!r} among them"
            )
        if len(network.inputs) not in {1, width}:
            raise VersionRefused(
                f"the network takes {len(network.inputs)} inputs, the contract has {width} features"
            )
        self._output = network.output
        self._columns = [_column(it, own.inputs[it]) for it in network.inputs]
        only = own.inputs[network.inputs[0]]
        self._is_batch = len(network.inputs) == 1 and len(only.shape or (_ROWS, width)) != 1
        self.is_plain = self._is_batch and only.is_float32

    def inputs(self, batch: NDArray[Any]) -> Tensors:
        """What the network is given for a batch ``[n, features]``.

        Raises:
            InvalidRequest: A value is no whole number where the network takes no others.
        """
        if self._is_batch:
            (it,) = self._columns
            return {it.name: _cast(it, batch)}
        return {
            it.name: _cast(it, batch[:, place]).reshape(-1, *it.shape)
            for place, it in enumerate(self._columns)
        }

    def output(self, outputs: Tensors, rows: int) -> NDArray[np.float32]:
        """The output, ``[n]``.

        Raises:
            InternalError: It is not one number a row.
        """
        given = outputs[self._output]
        if given.size != rows:
            raise InternalError(f"the network gives {list(given.shape)} for {rows} rows")
        return given.reshape(rows).astype(np.float32, copy=False)


def _said(contract: Contract) -> Signature:
    """The ``serving_default`` that a contract tells of."""
    width = len(contract.features)
    return Signature(
        {contract.input: spec_of(contract.input, np.float32, (_ROWS, width))},
        {contract.output: spec_of(contract.output, np.float32, (_ROWS,))},
    )


def _named(contract: Contract) -> Signature:
    """The signature that takes each column by itself."""
    inputs = {it: spec_of(it, np.float32, (_ROWS,)) for it in contract.input_names}
    return Signature(inputs, _said(contract).outputs)


def bounds(
    price: NDArray[Any], intervals: Intervals, factor: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The lower and upper bounds around outputs, as the contract says how far they err.

    Args:
        price: Outputs, ``[n]``.
        intervals: The contract's.
        factor: How many spreads they reach to either side.

    Returns:
        ``[n]`` each.
    """
    exact = price.astype(np.float64)
    spread = intervals.spread
    reach = factor * np.interp(exact, spread.outputs, spread.errors)
    lower = exact - reach
    if intervals.minimum is not None:
        lower = np.maximum(lower, np.minimum(exact, intervals.minimum))
    return lower.astype(np.float32), (exact + reach).astype(np.float32)


def _intervals(intervals: Intervals | None, there: Mapping[str, Any]) -> dict[str, float]:
    """The factor of each signature of intervals that is not there."""
    if intervals is None:
        return {}
    factors = {it.level: it.factor for it in intervals.levels}
    wanted = {it.signature: it.factor for it in intervals.levels}
    if USUAL_LEVEL in factors:
        wanted[INTERVAL] = factors[USUAL_LEVEL]
    return {name: it for name, it in wanted.items() if name not in there}


def _is_of(contract: Contract, own: Signature) -> bool:
    return own.inputs.keys() == {contract.input} and contract.output in own.outputs


def _is_column(spec: TensorSpec | None) -> bool:
    return spec is not None and spec.shape is not None and len(spec.shape) == 2


def _column(name: str, spec: TensorSpec) -> _Column:
    dtype = spec.numpy_dtype
    if dtype is None or dtype.kind not in _NUMBERS:
        raise VersionRefused(f"the network's input {name!r} takes no numbers")
    return _Column(name, dtype, (1,) if len(spec.shape or ()) == 2 else ())


def _cast(column: _Column, values: NDArray[Any]) -> NDArray[Any]:
    if column.dtype.kind != "f" and not (values == np.floor(values)).all():
        raise InvalidRequest(f"{column.name} takes whole numbers alone")
    return values.astype(column.dtype, copy=False)
