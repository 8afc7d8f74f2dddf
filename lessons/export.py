"""Writing the networks as model versions, and the config file that has them all served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import keras
import tensorflow as tf

from lessons.files import write_beside
from lessons.networks import NETWORKS
from service.contract import LITERT_MODEL
from training import publish

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

CONFIG: Final = "models.config"
_SIGNATURE: Final = "serving_default"


def export(folder: Path) -> Iterator[Path]:
    """Publish the next version of every network, then write the config file.

    Args:
        folder: Gets a folder a network, and the config file, which is written last: where
            it is, all are.

    Yields:
        Each version's folder.

    Raises:
        PublishError: The folder cannot be written.
    """
    for name, build in NETWORKS.items():
        yield _publish(build(), folder / name)
    write_beside(folder / CONFIG, config(folder, NETWORKS).encode())


def config(folder: Path, names: Iterable[str]) -> str:
    """TensorFlow Serving's ``ModelServerConfig`` of several models, in text form.

    Args:
        folder: Where each model's folder lies.
        names: The models.
    """
    return f"model_config_list {{\n{''.join(_config(folder / name) for name in names)}}}\n"


def _config(model: Path) -> str:
    base_path = json.dumps(str(model.resolve()), ensure_ascii=False)
    fields = f'name: "{model.name}" base_path: {base_path} model_platform: "tensorflow"'
    return f"  config {{ {fields} }}\n"


def _publish(network: Any, model: Path) -> Path:
    with publish.hidden_folder(model) as built:
        _write_saved_model(network, built)
        _write_litert(built)
        return publish.publish(built, model)


def _write_saved_model(network: Any, folder: Path) -> None:
    """One signature: ``x``, float32 ``[n, inputs]``, to ``y``, float32 ``[n, outputs]``."""
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        _SIGNATURE,
        lambda batch: {"y": network(batch)},
        input_signature=[tf.TensorSpec(network.input_shape, tf.float32, name="x")],
    )
    archive.write_out(str(folder), verbose=False)


def _write_litert(folder: Path) -> None:
    # So that the service need not convert it, nor load TensorFlow.
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[_SIGNATURE])
    (folder / LITERT_MODEL).write_bytes(converter.convert())
