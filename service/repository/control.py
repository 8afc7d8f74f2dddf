"""Changing what is served while it is served: reload, load, unload."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from service.errors import ModelNotFound, NotPossibleNow, VersionRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.repository.agreement import Agreement, Served
    from service.repository.config import ModelConfig

# A SavedModel of TensorFlow's can take long to load, and workers load one after the other.
_LIMIT_S: Final = 300.0


class Control:
    """Asks all workers for another config and waits until they serve it.

    Args:
        agreement: Where it is asked.
        labels_ahead: Whether a label may point to a version that is not served yet.
    """

    def __init__(self, agreement: Agreement, *, labels_ahead: bool) -> None:
        self._agreement = agreement
        self._labels_ahead = labels_ahead

    def reload(self, configs: Sequence[ModelConfig]) -> None:
        """Serve these models and no others; returns when every worker does.

        Raises:
            VersionRefused: A model has no version that can be served.
            NotPossibleNow: A label points to a version that is not served.
            DeadlineExceeded: Workers have not followed in time.
        """
        _, before = self._agreement.wanted()
        served = self._follow(configs)
        _require_models(configs, served)
        unserved = {} if self._labels_ahead else _unserved_labels(configs, served)
        if unserved:
            self._agreement.want(_with_old_labels(configs, before, unserved))
            model, (label, version) = next(iter(unserved.items()))
            raise NotPossibleNow(
                f"Request to assign label {label} to version {version} of model {model}, "
                "which is not currently available for inference"
            )

    def load(self, model: str) -> None:
        """Serve a model as it was last configured; returns when every worker does.

        Raises:
            ModelNotFound: It never was configured.
            VersionRefused: It has no version that can be served.
        """
        known = {config.name: config for config in self._agreement.known()}
        if model not in known:
            raise ModelNotFound(f"model {model} is not configured; known: {', '.join(known)}")
        _, wanted = self._agreement.wanted()
        rest = [config for config in wanted if config.name != model]
        _require_models([known[model]], self._follow([*rest, known[model]]))

    def unload(self, model: str) -> None:
        """Serve a model no longer; returns when no worker does.

        Raises:
            ModelNotFound: It is not served.
        """
        _, wanted = self._agreement.wanted()
        if model not in {config.name for config in wanted}:
            raise ModelNotFound(f"model {model} is not loaded")
        self._follow([config for config in wanted if config.name != model])

    def _follow(self, configs: Sequence[ModelConfig]) -> list[Served]:
        return self._agreement.wait(self._agreement.want(configs), _LIMIT_S)


def _require_models(configs: Sequence[ModelConfig], served: Sequence[Served]) -> None:
    missing = {
        config.name: worker.problems[config.name]
        for worker in served
        for config in configs
        if config.name in worker.problems
    }
    if missing:
        reasons = "; ".join(f"{name}: {problem}" for name, problem in missing.items())
        raise VersionRefused(f"{len(missing)} servable(s) did not become available: {{{reasons}}}")


def _unserved_labels(
    configs: Sequence[ModelConfig], served: Sequence[Served]
) -> dict[str, tuple[str, int]]:
    """By model the first label whose version some worker does not serve."""
    return {
        config.name: (label, version)
        for config in configs
        for label, version in config.labels.items()
        if any(version not in worker.versions.get(config.name, ()) for worker in served)
    }


def _with_old_labels(
    configs: Sequence[ModelConfig],
    before: Sequence[ModelConfig],
    unserved: dict[str, tuple[str, int]],
) -> list[ModelConfig]:
    old = {config.name: config.labels for config in before}
    return [
        replace(config, labels=old.get(config.name, {})) if config.name in unserved else config
        for config in configs
    ]
