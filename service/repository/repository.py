"""Which versions are served: the folders watched, new versions swapped in, old ones dropped.

One thread polls; any thread may ask. What is served is replaced as a whole, so a reader
sees the state before a change or after it, and a request keeps the version it found for
as long as it runs.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from service.errors import HearthError, InvalidRequest, ModelNotFound, NotReady
from service.repository.storage import Fingerprint, find_versions, fingerprint
from service.repository.version import ModelVersion, State, VersionStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from service.repository.config import ModelConfig

    Load = Callable[[str, int, Path], ModelVersion]
    Find = Callable[[ModelConfig], dict[int, Path]]

# States of versions whose folders are gone that a status still lists.
_REMEMBERED: Final = 16

_log: Final = logging.getLogger("hearth.repository")


class RepositoryObserver(Protocol):
    """Who is told of loads: the metrics."""

    def loaded(self, version: ModelVersion, seconds: float) -> None:
        """A version is served from now on, after so long a load."""

    def refused(self, model: str, path: Path, error: Exception) -> None:
        """A version could not be loaded."""

    def unloaded(self, model: str, number: int) -> None:
        """A version is no longer served."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often a version that was refused is tried again while its files stay as they are.

    Attributes:
        max_retries: Tries after the first.
        interval_s: Seconds between tries.
    """

    max_retries: int = 5
    interval_s: float = 60.0


@dataclass
class _Failure:
    """A version that could not be loaded: its files then, how often, and when to try again."""

    files: Fingerprint
    error: str
    tries: int
    retry_at_s: float


@dataclass
class _Model:
    config: ModelConfig
    labels: Mapping[str, int] = field(default_factory=dict)
    served: dict[int, ModelVersion] = field(default_factory=dict)
    states: dict[int, VersionStatus] = field(default_factory=dict)
    failures: dict[int, _Failure] = field(default_factory=dict)
    seen: dict[int, Fingerprint] = field(default_factory=dict)
    problem: str = "not looked at yet"
    polled: bool = False


class Repository:
    """The models of one process.

    Args:
        models: What to serve; names are unique.
        load: Makes a version from its folder; raises on anything wrong with it.
        observer: Who is told.
        retry: When a refused version is tried again.
        clock: Seconds that only grow.
        default_label: Label of the version that answers where none is asked for; where it is
            empty, or stands for no version that is served, the newest answers.
        find: Finds the versions that there are of a model; those in its folder by default.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it needs is handed over
        self,
        models: Iterable[ModelConfig],
        load: Load,
        observer: RepositoryObserver,
        retry: RetryPolicy = RetryPolicy(),
        clock: Callable[[], float] = time.monotonic,
        default_label: str = "",
        find: Find | None = None,
    ) -> None:
        self._models: dict[str, _Model] = {}
        self._load = load
        self._observer = observer
        self._retry = retry
        self._clock = clock
        self._default_label = default_label
        self._find = _in_folder if find is None else find
        self.configure(models)

    def configure(self, models: Iterable[ModelConfig]) -> None:
        """Serve these models and no others from the next poll on; for the polling thread.

        A model that is not among them any more is unloaded at once.
        """
        before = self._models
        self._models = {config.name: _configured(before, config) for config in models}
        for name, entry in before.items():
            if name not in self._models:
                for number in list(entry.served):
                    self._drop(entry, number)

    def names(self) -> list[str]:
        """Names of the models, sorted."""
        return sorted(self._models)

    def find(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> ModelVersion:
        """The version that answers a request.

        Args:
            model: The model's name.
            version: A number, or None for the default one: the newest served, unless a label
                says which.
            label: A label instead of a number.

        Raises:
            ModelNotFound: It is not served.
            InvalidRequest: The label is not known.
        """
        if label is not None:
            version = self._labelled(model, label)
        entry = self._models.get(model)
        served = entry.served if entry is not None else {}
        if version is None and entry is not None and served:
            labelled = served.get(entry.labels.get(self._default_label, -1))
            return served[max(served)] if labelled is None else labelled
        if version is not None and version in served:
            return served[version]
        wanted = f"Latest({model})" if version is None else f"Specific({model}, {version})"
        raise ModelNotFound(f"Servable not found for request: {wanted}")

    def statuses(self, model: str, version: int | None = None) -> list[VersionStatus]:
        """Where the versions of a model stand, newest first.

        Raises:
            ModelNotFound: Nothing is known of the model or of this version.
        """
        entry = self._models.get(model)
        states = entry.states if entry is not None else {}
        if version is not None and version not in states:
            raise ModelNotFound(f"Could not find version {version} of model {model}")
        if not states:
            raise ModelNotFound(f"Could not find any versions of model {model}")
        numbers = sorted(states, reverse=True) if version is None else [version]
        return [states[number] for number in numbers]

    def served(self) -> dict[str, list[int]]:
        """Numbers of the versions served, by model."""
        return {name: sorted(entry.served) for name, entry in self._models.items()}

    def config(self, model: str) -> ModelConfig | None:
        """How a model is to be served; None for one that is not."""
        entry = self._models.get(model)
        return None if entry is None else entry.config

    def labels(self, model: str) -> dict[str, int]:
        """The number that each label of a model points to; none for a model not known."""
        entry = self._models.get(model)
        return {} if entry is None else dict(entry.labels)

    def versions(self) -> list[ModelVersion]:
        """The versions served, of all models."""
        models = [entry.served for _, entry in sorted(self._models.items())]
        return [version for served in models for _, version in sorted(served.items())]

    def refused(self) -> dict[str, list[int]]:
        """Numbers of the versions that are there but could not be loaded, by model."""
        return {name: sorted(entry.failures) for name, entry in self._models.items()}

    def problems(self) -> dict[str, str]:
        """Models of which no version is served, with the reason."""
        return {
            name: entry.problem for name, entry in sorted(self._models.items()) if not entry.served
        }

    def poll(self) -> None:
        """Look at every model's folder once, and load and unload what it asks for."""
        for entry in self._models.values():
            self._poll_model(entry)

    def _labelled(self, model: str, label: str) -> int:
        entry = self._models.get(model)
        number = entry.labels.get(label) if entry is not None else None
        if number is None:
            raise InvalidRequest(f"Unrecognized servable version label: {label}")
        return number

    def _poll_model(self, entry: _Model) -> None:
        try:
            self._follow(entry)
        finally:
            entry.polled = True

    def _follow(self, entry: _Model) -> None:
        try:
            found = self._find(entry.config)
        except OSError as error:
            # Storage that cannot be read says nothing about what is in it: keep what is served.
            entry.labels = _settled_labels(entry)
            self._report(entry, f"its folder cannot be read ({error.strerror})")
            return
        except NotReady as error:
            entry.labels = _settled_labels(entry)
            self._report(entry, error.message)
            return
        wanted = self._bring_up(entry, found)
        entry.labels = _settled_labels(entry)
        if wanted or not self._undecided(entry, found):
            for number in [it for it in entry.served if it not in wanted | self._held(entry)]:
                self._drop(entry, number)
        self._forget(entry, found)
        self._report(entry, "" if entry.served else self._reason(entry, found))

    def _bring_up(self, entry: _Model, found: dict[int, Path]) -> set[int]:
        """Load what the policy asks for, past versions that are refused, until it is enough."""
        wanted: set[int] = set()
        policy = entry.config.policy
        for number in policy.candidates(found):
            if policy.is_enough(len(wanted)):
                break
            self._try_load(entry, number, found[number])
            if number in entry.served:
                wanted.add(number)
        return wanted

    def _held(self, entry: _Model) -> set[int]:
        """Versions that a label stays with because its new one is refused."""
        moved = {label for label, it in entry.config.labels.items() if it in entry.failures}
        return {entry.labels[label] for label in moved}

    def _undecided(self, entry: _Model, found: dict[int, Path]) -> bool:
        """Whether a version may yet take the place of one whose folder is gone."""
        failures = {number: it.files for number, it in entry.failures.items()}
        candidates = entry.config.policy.candidates(found)
        return any(failures.get(it) != entry.seen.get(it, ()) for it in candidates)

    def _try_load(self, entry: _Model, number: int, path: Path) -> None:
        try:
            files = fingerprint(path)
        except OSError:
            return  # it is being moved about; the next poll sees what came of it
        if not self._due(entry, number, files):
            return
        _log.info("loading %s version %d", entry.config.name, number)
        if number not in entry.served:
            self._mark(entry, number, State.LOADING)
        started_s = self._clock()
        try:
            version = self._load(entry.config.name, number, path)
        except Exception as error:  # noqa: BLE001 - one bad version must not end the others
            self._refuse(entry, path, files, error)
            return
        self._serve(entry, version, self._clock() - started_s)

    def _due(self, entry: _Model, number: int, files: Fingerprint) -> bool:
        """Whether a version is to be loaded now: new or changed, and no longer changing."""
        settled = not entry.polled or entry.seen.get(number) == files
        entry.seen[number] = files
        served = entry.served.get(number)
        if not settled or (served is not None and served.fingerprint == files):
            return False
        failure = entry.failures.get(number)
        if failure is None or failure.files != files:
            return True
        return failure.tries <= self._retry.max_retries and self._clock() >= failure.retry_at_s

    def _serve(self, entry: _Model, version: ModelVersion, seconds: float) -> None:
        number = version.number
        entry.failures.pop(number, None)
        entry.served = {**entry.served, number: version}
        self._mark(entry, number, State.AVAILABLE)
        self._observer.loaded(version, seconds)
        entry.problem = ""
        _log.info(
            "serving %s version %d with %s after %.3f s",
            version.model,
            number,
            version.executor.name,
            seconds,
        )

    def _refuse(self, entry: _Model, path: Path, files: Fingerprint, error: Exception) -> None:
        number = int(path.name)
        reason = _reason(error).replace(str(entry.config.base_path), "")
        before = entry.failures.get(number)
        tries = before.tries + 1 if before is not None and before.files == files else 1
        retry_at_s = self._clock() + self._retry.interval_s
        entry.failures[number] = _Failure(files, reason, tries, retry_at_s)
        state = State.AVAILABLE if number in entry.served else State.END
        self._mark(entry, number, state, reason)
        self._observer.refused(entry.config.name, path, error)
        unforeseen = None if isinstance(error, HearthError) else error
        _log.error(
            "%s version %d is refused: %s", entry.config.name, number, reason, exc_info=unforeseen
        )

    def _drop(self, entry: _Model, number: int) -> None:
        # Requests that hold the version finish with it; it goes with the last of them.
        entry.served = {key: it for key, it in entry.served.items() if key != number}
        self._mark(entry, number, State.END)
        self._observer.unloaded(entry.config.name, number)
        _log.info("unloaded %s version %d", entry.config.name, number)

    def _forget(self, entry: _Model, found: dict[int, Path]) -> None:
        """Forget what is gone, but for the last states, as TensorFlow Serving remembers them."""
        for number in [it for it in entry.seen if it not in found]:
            entry.seen.pop(number)
            entry.failures.pop(number, None)
        gone = sorted(number for number in entry.states if number not in found)
        for number in gone[:-_REMEMBERED]:
            entry.states = {key: it for key, it in entry.states.items() if key != number}

    def _mark(self, entry: _Model, number: int, state: State, error: str = "") -> None:
        entry.states = {**entry.states, number: VersionStatus(number, state, error)}

    def _report(self, entry: _Model, problem: str) -> None:
        if problem and problem != entry.problem:
            _log.warning("model %s in %s: %s", entry.config.name, entry.config.base_path, problem)
        entry.problem = problem

    def _reason(self, entry: _Model, found: dict[int, Path]) -> str:
        if not found:
            return "there is no version of it"
        candidates = entry.config.policy.candidates(found)
        if not candidates:
            return f"none of its versions {sorted(found)} is one that its policy asks for"
        newest = max(candidates)
        if newest in entry.failures:
            return f"version {newest} is refused: {entry.failures[newest].error}"
        return f"version {newest} is not complete yet"


def _in_folder(config: ModelConfig) -> dict[int, Path]:
    return find_versions(config.base_path)


def _configured(before: dict[str, _Model], config: ModelConfig) -> _Model:
    """The model with its new config; what it serves stays until the next look."""
    entry = before.get(config.name)
    if entry is None:
        return _Model(config, config.labels)
    if entry.config.base_path != config.base_path:
        entry.seen, entry.failures = {}, {}
    # The next look is a first one: what is newly asked for is not waited for.
    same = (entry.config.base_path, entry.config.policy) == (config.base_path, config.policy)
    entry.polled = entry.polled and same
    entry.config = config
    return entry


def _settled_labels(entry: _Model) -> dict[str, int]:
    """The labels as configured; one whose new version is not served stays with its old one."""
    settled = dict(entry.config.labels)
    for label, number in settled.items():
        before = entry.labels.get(label, number)
        if number not in entry.served and before in entry.served:
            settled[label] = before
    return settled


def _reason(error: Exception) -> str:
    """Why a version is refused, for callers: of what nobody foresaw, the log has the rest."""
    return (
        error.message if isinstance(error, HearthError) else f"unforeseen: {type(error).__name__}"
    )
