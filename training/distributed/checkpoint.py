"""What a training of several workers is gone on from, after one of them is lost.

The chief keeps it beside the model's versions with ``tf.train.CheckpointManager``, which writes
a checkpoint whole before it names it the latest. The others are told of it at the start.
"""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING, Final

import numpy as np
import tensorflow as tf

from training.engine.group import exchange
from training.errors import PublishError

if TYPE_CHECKING:
    from pathlib import Path

    from training.engine.group import Group
    from training.engine.stack import State

FOLDER: Final = ".checkpoint"

_KEPT: Final = 2
_MADE_FROM: Final = "made_from"


class Checkpoints:
    """Checkpoints of a group; see ``training.engine.stack.Checkpoints``.

    Args:
        model: The folder that holds the model's versions; the chief's counts.
        made_from: What the training is made from, as a hash: a checkpoint of another is not
            gone on from.
        group: The processes that train.
    """

    def __init__(self, model: Path, made_from: str, group: Group) -> None:
        self._folder = model / FOLDER
        self._made_from, self._group = made_from, group
        self._content = _Content()
        checkpoint = tf.train.Checkpoint(content=self._content)
        self._manager = tf.train.CheckpointManager(checkpoint, str(self._folder), _KEPT)

    def read(self) -> State | None:
        """The latest, the same for every process; None where there is none to go on from."""
        content = self._latest() if self._group.index == 0 else b""
        content = exchange(self._group, content)[0]
        if not content:
            return None
        state = _decoded(content)
        print(f"Going on after epoch {state['epoch']}, from the last checkpoint.", flush=True)
        return state

    def write(self, state: State) -> None:
        """Keep a state, where this is the chief.

        Raises:
            PublishError: It cannot be written.
        """
        if self._group.index != 0:
            return
        self._content.value = _encoded(state | {_MADE_FROM: np.array(self._made_from)})
        try:
            self._manager.save(int(state["epoch"]))
        except (OSError, tf.errors.OpError) as error:
            raise PublishError(f"{self._folder} cannot take a checkpoint: {error}") from error

    def remove(self) -> None:
        """Remove what the chief kept: the training is done."""
        if self._group.index == 0:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _latest(self) -> bytes:
        if self._manager.restore_or_initialize() is None:
            return b""
        content = self._content.value
        if str(_decoded(content)[_MADE_FROM]) == self._made_from:
            return content
        # Its epochs would be taken for newer ones than those to come.
        shutil.rmtree(self._folder)
        self._manager = tf.train.CheckpointManager(
            self._manager.checkpoint, str(self._folder), _KEPT
        )
        return b""


class _Content(tf.train.experimental.PythonState):  # type: ignore[misc]
    """Bytes, as a part of a checkpoint."""

    def __init__(self) -> None:
        self.value = b""

    def serialize(self) -> bytes:
        return self.value

    def deserialize(self, value: bytes) -> None:
        self.value = value


def _encoded(state: State) -> bytes:
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **state)
    return content.getvalue()


def _decoded(content: bytes) -> State:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
