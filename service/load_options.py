"""How the knobs ask for versions to be loaded: the same in a worker and in a trial."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from service.config_files import read_batching, read_session
from service.inference.batching_parameters import BatchingParameters
from service.inference.choice import ExecutorOptions, cache_folders
from service.protocols.warm_up import read_warm_up
from service.repository.loading import LoadOptions
from service.repository.signatures import Signatures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.settings import Settings

_BATCHING_FLAG: Final = "--batching_parameters_file"
_VERSION_BATCHING: Final = "batching_params.pbtxt"


def load_options(settings: Settings) -> LoadOptions:
    """How versions are loaded.

    Raises:
        InvalidRequest: A file that says so cannot be used.
    """
    executor = ExecutorOptions(
        tags=tuple(settings.saved_model_tags.split(",")),
        prefer_litert=settings.prefer_tflite_model,
        cache_folders=cache_folders(settings.conversion_cache, os.environ),
        session=_session(settings),
    )
    return LoadOptions(
        executor,
        read_warm_up if settings.enable_model_warmup else None,
        settings.num_request_iterations_for_warmup,
        _batching(settings),
        Signatures(settings.verify_versions_with).check if settings.verify_versions_with else None,
        frozenset(it.strip() for it in settings.allow_graph_operations.split(",")),
    )


def _session(settings: Settings) -> Any:
    # As in TensorFlow Serving: with either of the two given, what stands for both counts no more.
    intra, inter = (
        settings.tensorflow_intra_op_parallelism,
        settings.tensorflow_inter_op_parallelism,
    )
    if not intra and not inter:
        intra = inter = settings.tensorflow_session_parallelism
    path = settings.tensorflow_session_config_file
    return read_session(path, intra_op=intra, inter_op=inter)


def _batching_parameters(settings: Settings) -> BatchingParameters:
    path = settings.batching_parameters_file
    return BatchingParameters() if path is None else read_batching(_BATCHING_FLAG, path)


def _batching(settings: Settings) -> Callable[[Path], BatchingParameters | None] | None:
    """How the requests for the version in a folder are joined; see ``LoadOptions``."""
    if settings.enable_batching is False:
        return None
    parameters = _batching_parameters(settings) if settings.enable_batching else None

    def of_version(version: Path) -> BatchingParameters | None:
        own = version / _VERSION_BATCHING
        if settings.enable_per_model_batching_parameters and own.is_file():
            return read_batching(_VERSION_BATCHING, own)
        return parameters

    return of_version
