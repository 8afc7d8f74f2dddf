"""Whether requests may be joined, and whether it pays: tried on an executor before it serves."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.errors import HearthError
from service.inference.batching import has_batch_axis
from service.inference.comparison import difference, synthesise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from service.inference.executor import Executor, Tensors
    from service.inference.signature import Signature

# Rows that are run in one call and in a call each; of a model whose call takes longer than
# _LONG_CALL_S fewer are enough, and all that a load should wait for.
_ROWS: Final = 16
_FEW_ROWS: Final = 4
_LONG_CALL_S: Final = 0.05
# Rounds, of which the best counts; no more are begun once they have taken so many seconds.
_ROUNDS: Final = 5
_ROUNDS_S: Final = 0.5

# One call must cost no more than this part of the calls that it stands for ...
_CLEARLY_LESS: Final = 0.5
# ... and spare each request more seconds than joining costs it.
_JOINING_S: Final = 20e-6


@dataclass(frozen=True)
class Trial:
    """What came of trying to join the requests for one signature.

    Attributes:
        signature: The signature.
        rows: Rows that were run.
        together_s: Seconds that they took in one call.
        apart_s: Seconds that they took in a call each.
        problem: Why they must not be joined, or could not be tried; empty if neither.
    """

    signature: str
    rows: int = 0
    together_s: float = 0.0
    apart_s: float = 0.0
    problem: str = ""

    @property
    def pays(self) -> bool:
        """Whether one call costs clearly less than the calls that it stands for."""
        spared_s = (self.apart_s - self.together_s) / self.rows if self.rows else 0.0
        clearly = self.together_s <= _CLEARLY_LESS * self.apart_s
        return not self.problem and clearly and spared_s > _JOINING_S

    def __str__(self) -> str:
        verdict = "joined" if self.pays else "not joined"
        reason = self.problem or (
            f"{self.rows} rows take {self.together_s * 1e3:.2f} ms in one call and "
            f"{self.apart_s * 1e3:.2f} ms in {self.rows}"
        )
        return f"requests for signature {self.signature} are {verdict}: {reason}"


def try_joining(
    executor: Executor,
    samples: Mapping[str, Sequence[Tensors]],
    clock: Callable[[], float] = time.perf_counter,
) -> list[Trial]:
    """Run rows in one call and in a call each, for every signature.

    Rows whose answers depend on the other rows of their call, beyond rounding, must not be
    joined; the rows are of different values, so that it shows.

    Args:
        executor: What runs them.
        samples: Inputs that are known to make sense, by signature.
        clock: Seconds, from any beginning.
    """
    return [
        _try(executor, name, signature, samples.get(name, ()), clock)
        for name, signature in executor.signatures.items()
    ]


def _try(
    executor: Executor,
    name: str,
    signature: Signature,
    samples: Sequence[Tensors],
    clock: Callable[[], float],
) -> Trial:
    if not has_batch_axis(signature):
        return Trial(name, problem="not all of its tensors may have any number of rows")
    for inputs in _candidates(signature, samples):
        try:
            return _timed(executor, name, inputs, clock)
        except HearthError:
            continue  # values that this model does not take: the next ones are tamer
    return Trial(name, problem="there are no rows to try it with")


def _timed(executor: Executor, name: str, inputs: Tensors, clock: Callable[[], float]) -> Trial:
    executor.run(name, _rows(inputs, 0, 1))  # what is made at the first call counts no more
    _, first_s = _clocked(clock, lambda: executor.run(name, _rows(inputs, 0, 1)))
    rows = _ROWS if first_s <= _LONG_CALL_S else _FEW_ROWS
    batch = _rows(inputs, 0, rows)
    singles = [_rows(inputs, row, row + 1) for row in range(rows)]
    together, together_s = _clocked(clock, lambda: executor.run(name, batch))
    apart, apart_s = _clocked(clock, lambda: [executor.run(name, it) for it in singles])
    problem = _dependence(together, apart)
    spent_s = together_s + apart_s
    for _ in range(_ROUNDS - 1):
        if problem or spent_s > _ROUNDS_S:
            break
        _, again_s = _clocked(clock, lambda: executor.run(name, batch))
        _, each_s = _clocked(clock, lambda: [executor.run(name, it) for it in singles])
        together_s, apart_s = min(together_s, again_s), min(apart_s, each_s)
        spent_s += again_s + each_s
    return Trial(name, rows, together_s, apart_s, problem)


def _dependence(together: Tensors, apart: Sequence[Tensors]) -> str:
    """How rows depend on those that they are run with; empty if they do not."""
    if any(it.ndim == 0 for outputs in apart for it in outputs.values()):
        return "its outputs have no rows"
    joined = {name: np.concatenate([it[name] for it in apart]) for name in apart[0]}
    found = difference(joined, together)
    return f"a row's answer depends on the others ({found})" if found else ""


def _clocked(clock: Callable[[], float], function: Callable[[], Any]) -> tuple[Any, float]:
    started_s = clock()
    made = function()
    return made, clock() - started_s


def _candidates(signature: Signature, samples: Sequence[Tensors]) -> Iterator[Tensors]:
    """Inputs of ``_ROWS`` rows: known ones first, then ever tamer ones."""
    known = _stacked(samples)
    if known is not None:
        yield known
    specs = signature.inputs.values()
    if all(it.numpy_dtype is not None and not it.is_text for it in specs):
        made = list(synthesise(_of_known_rank(signature)))
        for size in (len(made), len(made) - 1):  # the last one's numbers are the largest
            mixed = _stacked([made[place] for place in range(size - 1, 0, -1)])
            if mixed is not None:
                yield mixed


def _of_known_rank(signature: Signature) -> Signature:
    """The signature; inputs of any number of axes have one."""
    inputs = {
        name: it if it.shape is not None else replace(it, shape=(-1,))
        for name, it in signature.inputs.items()
    }
    return replace(signature, inputs=inputs)


def _stacked(samples: Sequence[Tensors]) -> Tensors | None:
    """Rows of those that have the form of the first, over and over; None if all are alike."""
    if not samples:
        return None
    form = _form(samples[0])
    alike = [it for it in samples if _form(it) == form]
    stacked = {name: np.concatenate([it[name] for it in alike]) for name in samples[0]}
    count = min(map(len, stacked.values()))
    if count < 2 or all((it[1:count] == it[:1]).all() for it in stacked.values()):
        return None
    places = np.arange(_ROWS) % count
    return {name: it[places] for name, it in stacked.items()}


def _form(inputs: Tensors) -> list[tuple[str, Any, tuple[int, ...]]]:
    return [(name, it.dtype, it.shape[1:]) for name, it in sorted(inputs.items())]


def _rows(inputs: Tensors, start: int, end: int) -> dict[str, NDArray[Any]]:
    return {name: it[start:end] for name, it in inputs.items()}
