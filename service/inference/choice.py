"""Which executor runs a version: by what is asked for, and by what its folder holds."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from service.contract import LITERT_MODEL, SAVED_MODEL
from service.errors import VersionRefused
from service.inference.executor import AUTO, LITERT, TENSORFLOW
from service.inference.signature import DEFAULT_TAGS, callable_signatures, read_saved_model
from service.messages import config_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from service.inference.executor import Executor, Tensors
    from service.inference.signature import Signature

_log: Final = logging.getLogger("hearth.inference")


@dataclass(frozen=True)
class ExecutorOptions:
    """What else decides on what runs a version.

    Attributes:
        tags: The tags of the SavedModel's graph to serve.
        prefer_litert: A ``model.tflite`` is taken as it is, whatever the SavedModel
            beside it does.
        cache_folders: Where conversions may be kept, best first; without any there are none.
        session: The ``ConfigProto`` of TensorFlow's sessions.
    """

    tags: tuple[str, ...] = DEFAULT_TAGS
    prefer_litert: bool = False
    cache_folders: tuple[Path, ...] = ()
    session: Any = field(default_factory=config_pb2.ConfigProto)


def cache_folders(wanted: Path | None, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where conversions may be kept, best first.

    Args:
        wanted: What is asked for, or None for a cache folder of the user's.
        environment: The process's environment.
    """
    own = Path(tempfile.gettempdir(), f"hearth-{os.getuid()}")
    if wanted is not None:
        return wanted, own
    cache = environment.get("XDG_CACHE_HOME")
    home = environment.get("HOME")
    folders = [Path(cache, "hearth")] if cache else []
    if home:
        folders.append(Path(home, ".cache", "hearth"))
    return (*folders, own)


def open_executor(
    version: Path,
    wanted: str = AUTO,
    options: ExecutorOptions = ExecutorOptions(),
    *,
    described: bool = False,
    samples: Mapping[str, Sequence[Tensors]] = MappingProxyType({}),
) -> Executor:
    """Open the executor for what a version's folder holds.

    TensorFlow is imported only where it is the one to run.

    Args:
        version: The version's folder.
        wanted: One of ``EXECUTORS``; ``auto`` is LiteRT where it gives TensorFlow's answers.
        options: The rest.
        described: The version has a contract: its ``model.tflite`` was found equal when it
            was made, and its golden rows show it again.
        samples: Inputs to compare executors with, by signature.

    Raises:
        VersionRefused: The folder does not hold what the executor needs, or it is broken.
    """
    if wanted == LITERT:
        _need(version, LITERT_MODEL)
        return _litert(version / LITERT_MODEL, cuts=described)
    if wanted == TENSORFLOW:
        _need(version, SAVED_MODEL)
        return _saved_model(version, options)
    if not (version / SAVED_MODEL).is_file():
        if not (version / LITERT_MODEL).is_file():
            raise VersionRefused(f"there is neither {LITERT_MODEL} nor {SAVED_MODEL}")
        return _litert(version / LITERT_MODEL)
    if (version / LITERT_MODEL).is_file() and (described or options.prefer_litert):
        return _litert(version / LITERT_MODEL, cuts=described)
    return _best(version, options, samples)


def _best(
    version: Path, options: ExecutorOptions, samples: Mapping[str, Sequence[Tensors]]
) -> Executor:
    """LiteRT where it answers all that the SavedModel does, and alike; else TensorFlow."""
    from service.inference import savedmodel  # noqa: PLC0415 - only where needed
    from service.inference.conversion import NotConvertible  # noqa: PLC0415
    from service.inference.conversion_cache import ConversionCache  # noqa: PLC0415

    if not savedmodel.is_installed() and (version / LITERT_MODEL).is_file():
        _log.warning(
            "%s is served by LiteRT: TensorFlow is not installed, so its %s was not compared "
            "with its SavedModel", version, LITERT_MODEL,
        )  # fmt: skip
        return _litert(version / LITERT_MODEL)
    try:
        if savedmodel.is_installed() and options.cache_folders:
            cache = ConversionCache(options.cache_folders)
            converted = cache.find(version, options.tags, samples)
            return _litert(converted, callable_signatures(read_saved_model(version, options.tags)))
    except NotConvertible as error:
        _log.info("%s is served by TensorFlow: %s", version, error)
    return _saved_model(version, options)


def _litert(
    path: Path, declared: Mapping[str, Signature] = MappingProxyType({}), *, cuts: bool = False
) -> Executor:
    """LiteRT; where it cuts large batches, an output's rows must not depend on each other."""
    from service.inference.litert import LiteRT  # noqa: PLC0415 - one executor, one library

    return LiteRT(path, declared, cuts=cuts)


def _saved_model(version: Path, options: ExecutorOptions) -> Executor:
    from service.inference.savedmodel import SavedModel  # noqa: PLC0415 - imports TensorFlow

    return SavedModel(version, options.tags, options.session)


def _need(version: Path, name: str) -> None:
    if not (version / name).is_file():
        raise VersionRefused(f"{name} is missing")
