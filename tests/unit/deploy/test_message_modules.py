"""The message modules are taken out of a wheel, and nothing else is."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from deploy.message_modules import extract, main

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = {
    "tensorflow/__init__.py": "raise ImportError('the runtime')",
    "tensorflow/core/framework/tensor_pb2.py": "x = 1",
    "tensorflow/core/framework/tensor.h": "",
    "tensorflow/python/pywrap.so": "",
    "tensorflow_serving/apis/service_pb2_grpc.py": "y = 2",
    "other/thing_pb2.py": "",
}


def wheel(folder: Path, content: dict[str, str]) -> Path:
    path = folder / "tensorflow-0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return path


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_only_message_modules_are_taken(tmp_path: Path) -> None:
    count = extract(wheel(tmp_path, CONTENT), tmp_path / "target")

    assert count == 2
    assert files(tmp_path / "target") == {
        "tensorflow/core/framework/tensor_pb2.py",
        "tensorflow_serving/apis/service_pb2_grpc.py",
    }


def test_a_wheel_without_any_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no message modules"):
        extract(wheel(tmp_path, {"tensorflow/__init__.py": ""}), tmp_path / "target")


def test_the_command_takes_every_wheel_of_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(tmp_path, CONTENT)

    main([str(tmp_path), str(tmp_path / "target")])

    assert capsys.readouterr().out == "tensorflow-0-py3-none-any.whl: 2 message modules\n"
    assert len(files(tmp_path / "target")) == 2
