"""Which version of a model is stable and which is candidate, and how that came about.

    models/
      models.config            what a server follows: made from the histories of all models
      housing/
        history.jsonl          one line a change, the last of which holds
        1/  2/  ...            the versions

The history is what counts; the config is made from it, as TensorFlow Serving reads it, with
the labels ``stable`` and ``candidate``. Both are written beside their place and renamed
into it, by one process at a time: the models folder is locked meanwhile. A process that ends
between the two leaves an old config, which the next change or ``config`` makes anew.

References:
    tensorflow_serving/config/model_server_config.proto.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from service import contract
from training import publish
from training.errors import LabelsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

STABLE: Final = "stable"
CANDIDATE: Final = "candidate"
CONFIG: Final = "models.config"
HISTORY: Final = "history.jsonl"

_HEAD: Final = (
    "# Made by python -m training from the histories beside the versions: not to be edited."
)

Action = Literal["adopt", "publish", "promote", "rollback", "withdraw"]


class Change(msgspec.Struct, frozen=True):
    """One change of a model's labels, and what holds since.

    Attributes:
        at: When, ISO 8601 in UTC.
        action: What was done.
        stable: Number of the version that is served to who names none.
        candidate: Number of the version on trial; the stable one where none is.
    """

    at: str
    action: Action
    stable: int
    candidate: int

    @property
    def labels(self) -> dict[str, int]:
        """Version numbers by label."""
        return {STABLE: self.stable, CANDIDATE: self.candidate}


def history(model: Path) -> list[Change]:
    """The changes of a model's labels, oldest first; none where it never had any.

    Args:
        model: The folder that holds the model's versions.

    Raises:
        LabelsError: The history cannot be read.
    """
    path = model / HISTORY
    try:
        lines = path.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Change) for line in lines]
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        raise LabelsError(f"{path} cannot be read: {error}") from error


def current(model: Path) -> dict[str, int]:
    """Version numbers by label; none where the model never had any."""
    changes = history(model)
    return changes[-1].labels if changes else {}


def stable(model: Path) -> Path | None:
    """The folder of the stable version; None where there is none."""
    folder = model / str(current(model).get(STABLE, ""))
    return folder if folder != model and folder.is_dir() else None


def find(model: Path, text: str) -> Path:
    """The folder of a version.

    Args:
        model: The folder that holds the model's versions.
        text: Its number, or a label.

    Raises:
        LabelsError: There is none.
    """
    number = current(model).get(text, text)
    path = model / str(number)
    if not str(number).isdecimal() or not path.is_dir():
        there = ", ".join(map(str, publish.numbers(model))) or "none"
        raise LabelsError(f"{model} has no version {text}; there are: {there}")
    return path


def adopt(models: Path, name: str) -> None:
    """Give a model that has versions and no history its labels: the newest version is both.

    Args:
        models: The folder that holds a folder a model.
        name: The model's name.

    Raises:
        LabelsError: History or config cannot be read or written, or somebody else wrote it;
            with no version too, so that nobody trains one that cannot be labelled.
    """
    _check_ours(models / CONFIG)
    newest = publish.newest(models / name)
    if newest is None:
        return
    with _changes(models, name) as changes:
        if not changes:
            changes.append(_both("adopt", int(newest.name)))


def published(models: Path, name: str, number: int) -> Change:
    """Make a new version the candidate; a model's first one is stable too.

    Args:
        models: The folder that holds a folder a model.
        name: The model's name.
        number: The version's number.

    Raises:
        LabelsError: History or config cannot be read or written.
    """
    with _changes(models, name) as changes:
        if stable(models / name) is None:
            changes.append(_both("publish", number))
        else:
            # Of two trainers at once, the one with the greater number may be here first.
            last = changes[-1]
            changes.append(_made("publish", last.stable, max(number, last.candidate)))
    return changes[-1]


def promote(models: Path, name: str, text: str = CANDIDATE) -> Change:
    """Make a version the stable one.

    Args:
        models: The folder that holds a folder a model.
        name: The model's name.
        text: The version's number, or a label.

    Raises:
        LabelsError: There is no such version, it is damaged, or is stable already.
    """
    with _changes(models, name) as changes:
        version = find(models / name, text)
        number = int(version.name)
        if changes and changes[-1].stable == number:
            raise LabelsError(f"version {number} of {name} is stable already")
        _check_whole(version)
        changes.append(_moved("promote", changes[-1:], number))
    return changes[-1]


def rollback(models: Path, name: str) -> Change:
    """Go back to the version that was stable before.

    Versions whose folders are gone are passed over. A second call goes back further.

    Args:
        models: The folder that holds a folder a model.
        name: The model's name.

    Raises:
        LabelsError: No other version was stable before.
    """
    with _changes(models, name) as changes:
        there = set(publish.numbers(models / name))
        before = [it for it in _stack(changes)[:-1] if it in there]
        if not before:
            raise LabelsError(f"no other version of {name} was stable before and is still there")
        changes.append(_moved("rollback", changes[-1:], before[-1]))
    return changes[-1]


def withdraw(models: Path, name: str) -> Change:
    """End the trial of the candidate: it is served no longer.

    Args:
        models: The folder that holds a folder a model.
        name: The model's name.

    Raises:
        LabelsError: No version is on trial.
    """
    with _changes(models, name) as changes:
        if not changes or changes[-1].stable == changes[-1].candidate:
            raise LabelsError(f"no version of {name} is on trial")
        changes.append(_both("withdraw", changes[-1].stable))
    return changes[-1]


def config(models: Path) -> str:
    """The text of the config: a ``ModelServerConfig`` of all models that have a history.

    Args:
        models: The folder that holds a folder a model.
    """
    labelled = {path.parent: current(path.parent) for path in models.glob(f"*/{HISTORY}")}
    entries = [_entry(model, labelled[model]) for model in sorted(labelled) if labelled[model]]
    return f"{_HEAD}\nmodel_config_list {{\n{''.join(entries)}}}\n"


def write_config(models: Path) -> Path:
    """Make the config anew.

    Args:
        models: The folder that holds a folder a model.

    Returns:
        The file.

    Raises:
        LabelsError: It cannot be written, or holds what somebody else wrote.
    """
    with _locked(models):
        return _write_config(models)


@contextmanager
def _changes(models: Path, name: str) -> Iterator[list[Change]]:
    """A model's history, held against others; what is added to it is written at the end."""
    with _locked(models):
        _check_ours(models / CONFIG)
        changes = history(models / name)
        before = len(changes)
        yield changes
        if len(changes) > before:
            lines = b"".join(msgspec.json.encode(it) + b"\n" for it in changes)
            publish.write_beside(models / name / HISTORY, lines)
        _write_config(models)


@contextmanager
def _locked(models: Path) -> Iterator[None]:
    try:
        opened = os.open(models, os.O_RDONLY)
    except OSError as error:
        raise LabelsError(f"{models} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise LabelsError(f"{models} cannot be written: {error.strerror}") from error
    finally:
        os.close(opened)


def _write_config(models: Path) -> Path:
    path, text = models / CONFIG, config(models).encode()
    _check_ours(path)
    if not path.exists() or path.read_bytes() != text:
        publish.write_beside(path, text)
    return path


def _check_ours(path: Path) -> None:
    if path.exists() and not path.read_text(errors="replace").startswith(_HEAD):
        raise LabelsError(f"{path} was written by somebody else: move it, or take another folder")


def _entry(model: Path, labels: dict[str, int]) -> str:
    # TensorFlow Serving takes only absolute paths.
    base_path = json.dumps(str(model.resolve()), ensure_ascii=False)
    versions = " ".join(f"versions: {number}" for number in sorted(set(labels.values())))
    lines = [
        f'name: "{model.name}"',
        f"base_path: {base_path}",
        'model_platform: "tensorflow"',
        f"model_version_policy {{ specific {{ {versions} }} }}",
        *(f'version_labels {{ key: "{label}" value: {it} }}' for label, it in labels.items()),
    ]
    return "  config {\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def _stack(changes: Sequence[Change]) -> list[int]:
    """The stable versions that a rollback goes back through, the present one last."""
    stack: list[int] = []
    for it in changes:
        if it.action == "rollback":
            while stack and stack[-1] != it.stable:
                stack.pop()
        if stack[-1:] != [it.stable]:
            stack.append(it.stable)
    return stack


def _moved(action: Action, last: Sequence[Change], stable: int) -> Change:
    """A change of the stable version; another one on trial stays on trial."""
    on_trial = {it.candidate for it in last} - {it.stable for it in last} - {stable}
    return _made(action, stable, *on_trial or {stable})


def _both(action: Action, number: int) -> Change:
    return _made(action, number, number)


def _made(action: Action, stable: int, candidate: int) -> Change:
    return Change(datetime.now(UTC).isoformat(timespec="seconds"), action, stable, candidate)


def _check_whole(version: Path) -> None:
    try:
        described = contract.read(version)
        if described is not None:
            contract.verify(version, described)
    except contract.ContractError as error:
        raise LabelsError(f"{version} is damaged: {error}") from error
