"""The answers: sentences and tables, drawn from the results and from nothing else.

Two settings are compared network by network, under the same seed and on the same fold. A
difference is called clear if it is more than twice its standard error; otherwise the
sentence says that none is to be seen. All MAE are in thousand USD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from training.columns import FEATURES, OPEN
from training.experiments import models, questions
from training.experiments.crossvalidation import Outcome, Result
from training.experiments.questions import (
    DEPTHS,
    RATES,
    SOURCE,
    TUTORIAL,
    WIDTHS,
    Results,
    descent,
    key,
    size,
    subset,
)
from training.recipe import NAMED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_CLEAR: Final = 2.0  # standard errors


class Table(NamedTuple):
    """A table: the first column is text, the others are numbers."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


class Answer(NamedTuple):
    """What the results say to a question.

    Attributes:
        sentences: The shortest answer first.
        tables: What they are drawn from.
    """

    sentences: list[str]
    tables: list[Table]


class Difference(NamedTuple):
    """How much larger one MAE is than another, over pairs of networks of one seed and fold.

    Attributes:
        mean: Thousand USD.
        error: Its standard error.
        pairs: How many there are.
        larger: In how many of them it is larger.
    """

    mean: float
    error: float
    pairs: int
    larger: int

    @property
    def clear(self) -> bool:
        """Whether it is more than chance would make it."""
        return abs(self.mean) > _CLEAR * self.error


def difference(one: Result, other: Result) -> Difference:
    """Compare two results pair by pair.

    Args:
        one: Whose MAE counts as larger.
        other: Whose MAE counts as smaller.

    References:
        Nadeau and Bengio, Inference for the generalization error, 2003: folds share their
        training rows, so the variance shrinks by less than the number of pairs says.
    """
    known = {(it.seed, it.fold): it.mae for it in other.outcomes}
    pairs = [(it.mae, known[it.seed, it.fold]) for it in one.outcomes]
    gaps = np.array([a - b for a, b in pairs if a is not None and b is not None])
    if len(gaps) < 2:
        return Difference(float("nan"), float("nan"), len(gaps), 0)
    folds = len({it.fold for it in one.outcomes})
    error = float(np.sqrt(gaps.var(ddof=1) * (1 / len(gaps) + 1 / (folds - 1))))
    return Difference(float(gaps.mean()), error, len(gaps), int((gaps > 0).sum()))


def features(results: Results) -> Answer:
    """Whether adding features helps, and which feature carries what."""
    return Answer(
        [*_more_features(results), _carriers(results), _race(results)],
        [_feature_table(results), _path_table(results), _subset_table(results)],
    )


def network(results: Results) -> Answer:
    """Whether other widths and depths do better."""
    return Answer(_sizes(results), [_size_table(results)])


def learning_rate(results: Results) -> Answer:
    """What too large and too small a learning rate do."""
    return Answer(
        [_rates(results, optimizer) for optimizer in questions.DESCENTS],
        [_rate_table(results, optimizer) for optimizer in questions.DESCENTS],
    )


def best_model(results: Results) -> Answer:
    """Whether networks of this family predict best of all that was tried."""
    known = repeated(results)
    return Answer([_best_model(known), _ensemble(known)], _model_tables(_by_model(results), known))


def repeated(results: Results) -> dict[str, Result]:
    """Each model's result over all repeats, without the candidates."""
    found = _by_model(results)
    return {name: it for name, it in found.items() if not name.startswith(models.CANDIDATE)}


ANSWERS: Final[dict[str, Callable[[Results], Answer]]] = {
    "features": features,
    "network": network,
    "learning-rate": learning_rate,
    "models": best_model,
}


def _more_features(results: Results) -> list[str]:
    three, every = _of(results, *SOURCE), _of(results, *OPEN)
    gap = difference(three, every)
    verdict = _choose(gap, "Yes", "No", "It makes no clear difference")
    best = min(questions.path(results), key=lambda names: _of(results, *names).mae)
    found = _of(results, *best)
    return [
        (
            f"{verdict}: {_listed(SOURCE)} give {_measured(three)}, all {len(OPEN)} features but B "
            f"give {_measured(every)}: {_compared(gap)}."
        ),
        (
            f"Adding the one that helps most, again and again, leads to {_listed(best)} with "
            f"{_measured(found)}, {_choose(difference(every, found), *_BETTER)} all {len(OPEN)}."
        ),
    ]


def _carriers(results: Results) -> str:
    every = _of(results, *OPEN)
    missed = {name: difference(_without(results, name), every) for name in OPEN}
    clear = sorted(
        (name for name in OPEN if missed[name].clear and missed[name].mean > 0),
        key=lambda name: -missed[name].mean,
    )
    alone = min(OPEN, key=lambda name: _of(results, name).mae)
    said = f"{alone} alone tells most ({_measured(_of(results, alone))})"
    if not clear:
        return f"{said}; none of the {len(OPEN)} is clearly missed when it alone is left out."
    shown = ", ".join(f"{name} ({missed[name].mean:+.2f})" for name in clear)
    return f"{said}; of the {len(OPEN)}, clearly missed when left out alone: {shown}."


def _race(results: Results) -> str:
    gap = difference(_of(results, *OPEN), _of(results, *FEATURES))
    verdict = _choose(gap, "would help", "would harm", "would make no clear difference")
    return f"B, which encodes race and is not used, {verdict}: {_compared(gap)} with it."


def _sizes(results: Results) -> list[str]:
    sizes = {
        (width, depth): results[key(size(width, depth))] for width in WIDTHS for depth in DEPTHS
    }
    ours = (TUTORIAL.widths[0], len(TUTORIAL.widths))
    best = min(sizes, key=lambda it: sizes[it].mae)
    smallest, largest = (WIDTHS[0], DEPTHS[0]), (WIDTHS[-1], DEPTHS[-1])
    gap = difference(sizes[ours], sizes[best])
    verdict = "No, another is clearly better" if gap.clear else "Yes, no other is clearly better"
    first = (
        f"{verdict}: {_layers(*ours)} have {_measured(sizes[ours])}. The best of the {len(sizes)} "
        f"tried is {_layers(*best)} with {_measured(sizes[best])}: {_compared(gap)}."
    )
    extremes = (
        f"The smallest, {_layers(*smallest)}, has {_measured(sizes[smallest])}, "
        f"{_choose(difference(sizes[ours], sizes[smallest]), *_BETTER)} ours; the largest, "
        f"{_layers(*largest)}, {_measured(sizes[largest])}, "
        f"{_choose(difference(sizes[ours], sizes[largest]), *_BETTER)} ours."
    )
    return [first, extremes]


def _rates(results: Results, optimizer: str) -> str:
    tried = {rate: results[key(descent(optimizer, rate))] for rate in RATES}
    best = min(tried, key=lambda rate: (tried[rate].failed, tried[rate].mae))
    small = [rate for rate in RATES if rate < best and _worse(tried[rate], tried[best])]
    large = [rate for rate in RATES if rate > best and _worse(tried[rate], tried[best])]
    parts = [f"{_NAMES[optimizer]} does best at {best:g} with {_measured(tried[best])}."]
    if small:
        parts.append(f"Up to {small[-1]:g} is too small: {_too_small(tried, small)}.")
    if large:
        parts.append(f"From {large[0]:g} on is too large: {_too_large(tried, large)}.")
    return " ".join(parts)


def _worse(one: Result, other: Result) -> bool:
    gap = difference(one, other)
    return one.failed > other.failed or (gap.clear and gap.mean > 0)


def _too_small(tried: dict[float, Result], small: Sequence[float]) -> str:
    least = tried[small[0]]
    epochs = len(least.curve)
    half = least.curve[epochs // 2]
    return (
        f"at {small[0]:g} the MAE is {half:.2f} half way and {least.curve[-1]:.2f} after "
        f"{epochs} epochs, {'still on its way' if least.curve[-1] < half else 'and stays there'}"
    )


def _too_large(tried: dict[float, Result], large: Sequence[float]) -> str:
    failing = [rate for rate in large if tried[rate].failed]
    if not failing:
        return f"at {large[-1]:g} the MAE is {tried[large[-1]].mae:.2f}, though none diverges"
    first_and_last = dict.fromkeys((failing[0], failing[-1]))
    return "; ".join(_failures(rate, tried[rate]) for rate in first_and_last)


def _failures(rate: float, result: Result) -> str:
    """How networks fail at a rate: those that diverge, and those that learn nothing."""
    diverged, lost = result.diverged, result.failed - result.diverged
    parts = []
    if diverged:
        parts.append(f"{diverged} end{_s(diverged == 1)} in no number after {_epochs(result)}")
    if lost:
        parts.append(f"{lost} {'is' if lost == 1 else 'are'} no better than predicting the mean")
    return f"at {rate:g}, of {len(result.outcomes)} networks {' and '.join(parts)}"


def _epochs(result: Result) -> str:
    ended = sorted(it.epochs for it in result.outcomes if it.mae is None)
    counted = f"{ended[0]}" if ended[0] == ended[-1] else f"{ended[0]} to {ended[-1]}"
    return f"{counted} epoch{_s(ended[-1] > 1)}"


def _s(wanted: bool) -> str:
    return "s" if wanted else ""


def _feature_table(results: Results) -> Table:
    every = _of(results, *OPEN)
    rows = []
    for name in sorted(OPEN, key=lambda it: _of(results, it).mae):
        missed = difference(_without(results, name), every)
        alone = _of(results, name)
        added = (
            "-"
            if name in SOURCE
            else _signed(difference(_of(results, *SOURCE, name), _of(results, *SOURCE)))
        )
        rows.append((name, _plain(alone), added, _signed(missed), _marked(missed)))
    return Table(
        "Each feature: alone, added to the source's three, left out of all but B",
        ("feature", "MAE alone", "change when added", "change when left out", "clear"),
        rows,
    )


def _path_table(results: Results) -> Table:
    found = [(names, _of(results, *names)) for names in questions.path(results)]
    before: list[Result | None] = [None, *(result for _, result in found)]
    rows = [
        (f"{len(names)}: + {names[-1]}", _plain(result), *_change(result, earlier))
        for (names, result), earlier in zip(found, before[:-1], strict=True)
    ]
    head = ("features", "MAE", "change", "clear")
    return Table("Adding the feature that helps most, step by step", head, rows)


def _subset_table(results: Results) -> Table:
    three = _of(results, *SOURCE)
    named = {f"all {len(OPEN)} but B": OPEN, f"all {len(FEATURES)}, with B": tuple(FEATURES)}
    found = {title: _of(results, *names) for title, names in named.items()}
    rows = [
        (f"{_listed(SOURCE)} (the source's)", _plain(three), *_change(three, None)),
        *((title, _plain(it), *_change(it, three)) for title, it in found.items()),
    ]
    return Table("Subsets", ("features", "MAE", "against the source's", "clear"), rows)


def _change(result: Result, earlier: Result | None) -> tuple[str, str]:
    """Two cells: how much larger the MAE is than an earlier one, and whether clearly so."""
    if earlier is None:
        return "-", ""
    gap = difference(result, earlier)
    return _signed(gap), _marked(gap)


def _size_table(results: Results) -> Table:
    rows = [
        (f"{depth}", *(_plain(results[key(size(width, depth))]) for width in WIDTHS))
        for depth in DEPTHS
    ]
    head = ("hidden layers", *(f"{width} units" for width in WIDTHS))
    return Table("MAE by number of hidden layers and units in each", head, rows)


def _rate_table(results: Results, optimizer: str) -> Table:
    rows = []
    for rate in RATES:
        result = results[key(descent(optimizer, rate))]
        learned = result.failed - result.diverged
        shown = _plain(result) if len(result.maes) else "no number"
        rows.append((f"{rate:g}", shown, f"{result.diverged}", f"{learned}"))
    return Table(
        f"{_NAMES[optimizer]}: what became of {len(result.outcomes)} networks a learning rate",
        ("learning rate", "MAE of the others", "ended in no number", "no better than the mean"),
        rows,
    )


def _by_model(results: Results) -> dict[str, Result]:
    """All repeats of a model as one result."""
    outcomes: dict[str, list[Outcome]] = {}
    for setting in models.MODEL_QUESTION.wanted(results):
        outcomes.setdefault(setting["model"], []).extend(results[key(setting)].outcomes)
    return {name: Result(tuple(of), ()) for name, of in outcomes.items()}


def _best_model(found: dict[str, Result]) -> str:
    ours = found[models.NETWORKS]
    name, rival = min(
        ((name, it) for name, it in found.items() if name in models.RIVALS),
        key=lambda it: it[1].mae,
    )
    gap = difference(rival, ours)
    verdict = (
        "Networks of this family do best"
        if gap.mean > 0
        else f"Networks of this family do not do best; {name} does"
    )
    return (
        f"{verdict}: they have {_measured(ours)}, the best other model ({name}) "
        f"{_measured(rival)}; {_compared(gap)}, "
        f"{'a clear difference' if gap.clear else 'no clear difference'}."
    )


def _ensemble(found: dict[str, Result]) -> str:
    alone = found[models.ALONE]
    gap = difference(alone, found[models.NETWORKS])
    return (
        f"Their prices are averaged over {NAMED['best'].members} networks; one alone has "
        f"{_measured(alone)}, the average {_compared(gap)}."
    )


def _model_tables(found: dict[str, Result], known: dict[str, Result]) -> list[Table]:
    ours = found[models.NETWORKS]
    ranked = sorted(known.items(), key=lambda it: it[1].mae)
    rows = [
        (name, _plain(it), *_change(it, None if name == models.NETWORKS else ours))
        for name, it in ranked
    ]
    head = ("model", "MAE", "against the networks", "clear")
    tried = [
        (name.removeprefix(f"{models.CANDIDATE}: "), _plain(it))
        for name, it in found.items()
        if name not in known
    ]
    title = "The networks' candidates, five networks each, folds cut once"
    return [
        Table("Models, best first, all on the same folds", head, rows),
        Table(title, ("hidden layers of 64, learning rate", "MAE"), tried),
    ]


_NAMES: Final = {"adam": "Adam", "sgd": "Plain gradient descent"}
_BETTER: Final = ("clearly better than", "clearly worse than", "not clearly different from")


def _of(results: Results, *names: str) -> Result:
    return results[key(subset(*names))]


def _without(results: Results, name: str) -> Result:
    return _of(results, *(it for it in OPEN if it != name))


def _choose(gap: Difference, less: str, more: str, neither: str) -> str:
    """A word for whether the other is clearly less, clearly more, or neither."""
    if not gap.clear:
        return neither
    return less if gap.mean > 0 else more


def _compared(gap: Difference) -> str:
    word = "less" if gap.mean > 0 else "more"
    return (
        f"{abs(gap.mean):.2f} {word} (standard error {gap.error:.2f}; "
        f"less in {gap.larger} of {gap.pairs} pairs)"
    )


def _measured(result: Result) -> str:
    return f"an MAE of {_plain(result)}"


def _plain(result: Result) -> str:
    return f"{result.mae:.2f} ± {result.spread:.2f}"


def _signed(gap: Difference) -> str:
    return f"{gap.mean:+.2f} ± {gap.error:.2f}"


def _marked(gap: Difference) -> str:
    return "yes" if gap.clear else "no"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _layers(width: int, depth: int) -> str:
    return f"{depth} layer{_s(depth > 1)} of {width}"
