"""Takes the protocol messages of TensorFlow and TensorFlow Serving out of their wheels.

The serving image needs the generated message modules (under 1 MB) and nothing else of
TensorFlow (1.9 GB). They are put where ``service.messages`` looks for them: into a folder
``tensorflow`` that has no ``__init__.py``.

    python message_modules.py FOLDER_OF_WHEELS [TARGET]
"""

from __future__ import annotations

import sys
import sysconfig
import zipfile
from pathlib import Path

_ENDINGS = ("_pb2.py", "_pb2_grpc.py")
_PACKAGES = ("tensorflow/", "tensorflow_serving/")


def extract(wheel: Path, target: Path) -> int:
    """Extract the message modules of one wheel.

    Args:
        wheel: The wheel's file.
        target: The folder that modules are found in, such as ``site-packages``.

    Returns:
        How many modules there were.

    Raises:
        ValueError: The wheel holds none.
    """
    with zipfile.ZipFile(wheel) as archive:
        modules = [name for name in archive.namelist() if _is_message_module(name)]
        archive.extractall(target, modules)
    if not modules:
        raise ValueError(f"{wheel.name} holds no message modules")
    return len(modules)


def _is_message_module(name: str) -> bool:
    return name.startswith(_PACKAGES) and name.endswith(_ENDINGS)


def main(arguments: list[str]) -> None:
    """Extract from every wheel of a folder, into this interpreter's packages by default."""
    wheels = sorted(Path(arguments[0]).glob("*.whl"))
    target = Path(arguments[1] if len(arguments) > 1 else sysconfig.get_path("purelib"))
    for wheel in wheels:
        print(f"{wheel.name}: {extract(wheel, target)} message modules")


if __name__ == "__main__":
    main(sys.argv[1:])
