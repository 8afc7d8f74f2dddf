"""Changing what is served while it is served: reload, load, unload."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.errors import InvalidRequest, ModelNotFound, NotPossibleNow, VersionRefused
from service.repository.config import read_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from service.repository.agreement import Agreement, Served
    from service.repository.config import ModelConfig

# A SavedModel of TensorFlow's can take long to load, and workers load one after the other.
_LIMIT_S: Final = 300.0


class Control:
    """Asks all workers for another config and waits until they serve it.

    Args:
        agreement: Where it is asked.
        labels_ahead: Whether a new label may point to a version that is not served yet.
        folders: Below which models may lie that a caller names, beside the folders in which the
            folders of those lie that are configured.
        log_folder: Below which a caller's ``logging_config`` may name files; None for nowhere.
    """

    def __init__(
        self,
        agreement: Agreement,
        *,
        labels_ahead: bool,
        folders: Sequence[Path] = (),
        log_folder: Path | None = None,
    ) -> None:
        self._agreement = agreement
        self._folders = folders
        self._log_folder = log_folder
        self._labels_ahead = labels_ahead

    def reload(self, configs: Sequence[ModelConfig]) -> None:
        """Serve these models and no others; returns when every worker does.

        Raises:
            InvalidRequest: A model lies where none may, or is to be logged there.
            VersionRefused: A model has no version that can be served.
            NotPossibleNow: A label points to a version that is not served: all labels stay
                as they were. Or the config file has changed meanwhile.
            DeadlineExceeded: Workers have not followed in time.
        """
        self._check_places(configs)
        self._check_logs(configs)
        with self._agreement.turn():
            _, before = self._agreement.wanted()
            served = self._follow(lambda _: configs)
            _require_models(configs, served)
            try:
                self._check_labels(configs, before, served)
            except NotPossibleNow:
                self._follow(lambda _: _with_labels_of(before, configs))
                raise

    def load(self, model: str) -> None:
        """Serve a model as it was last configured; returns when every worker does.

        Raises:
            ModelNotFound: It never was configured.
            VersionRefused: It has no version that can be served.
        """
        known = {config.name: config for config in self._agreement.known()}
        if model not in known:
            raise ModelNotFound(f"model {model} is not configured; known: {', '.join(known)}")
        with self._agreement.turn():
            served = self._follow(lambda wanted: [*_without(model, wanted), known[model]])
        _require_models([known[model]], served)

    def unload(self, model: str) -> None:
        """Serve a model no longer; returns when no worker does.

        Raises:
            ModelNotFound: It is not served.
        """
        with self._agreement.turn():
            _, wanted = self._agreement.wanted()
            if model not in {config.name for config in wanted}:
                raise ModelNotFound(f"model {model} is not loaded")
            self._follow(lambda wanted: _without(model, wanted))

    def _follow(self, change: Callable[[list[ModelConfig]], Sequence[ModelConfig]]) -> list[Served]:
        """Have all workers serve what comes of what is wanted now."""
        with self._agreement.changing():
            _, wanted = self._agreement.wanted()
            serial = self._agreement.want(change(wanted))
        return self._agreement.wait(serial, _LIMIT_S)

    def _check_places(self, configs: Sequence[ModelConfig]) -> None:
        """Refuse folders that only the machine's owner may name: links and ``..`` are followed."""
        known = [config.base_path.resolve().parent for config in self._agreement.known()]
        allowed = [*known, *(folder.resolve() for folder in self._folders)]
        for config in configs:
            place = config.base_path.resolve()
            if not any(place.is_relative_to(folder) for folder in allowed):
                raise InvalidRequest(
                    f"model {config.name}: its base_path is outside the folders of the models that "
                    "are configured and of --model_folders"
                )

    def _check_logs(self, configs: Sequence[ModelConfig]) -> None:
        """Refuse files of a log that only the machine's owner may name."""
        known = {config.name: read_logging(config) for config in self._agreement.known()}
        for config in configs:
            asked = read_logging(config)
            if asked is None or not asked.prefix or asked == known.get(config.name):
                continue
            place, folder = Path(asked.prefix).resolve().parent, self._log_folder
            if folder is None or not place.is_relative_to(folder.resolve()):
                raise InvalidRequest(
                    f"model {config.name}: the filename_prefix of its logging_config is outside "
                    "--request_log_folder"
                )

    def _check_labels(
        self,
        configs: Sequence[ModelConfig],
        before: Sequence[ModelConfig],
        served: Sequence[Served],
    ) -> None:
        """Refuse a label to a version that some worker does not serve.

        A label that is new may be allowed to; one that callers use already never is.
        """
        used = {(config.name, label) for config in before for label in config.labels}
        for config in configs:
            for label, version in config.labels.items():
                if self._labels_ahead and (config.name, label) not in used:
                    continue
                if any(version not in worker.versions.get(config.name, ()) for worker in served):
                    raise NotPossibleNow(
                        f"Request to assign label to version {version} of model {config.name}, "
                        f"which is not currently available for inference (label {label})"
                    )


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


def _without(model: str, configs: Sequence[ModelConfig]) -> list[ModelConfig]:
    return [config for config in configs if config.name != model]


def _with_labels_of(
    before: Sequence[ModelConfig], configs: Sequence[ModelConfig]
) -> list[ModelConfig]:
    old = {config.name: config.labels for config in before}
    return [replace(config, labels=old.get(config.name, {})) for config in configs]
