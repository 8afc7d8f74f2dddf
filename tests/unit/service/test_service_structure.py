"""Who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MESSAGES = "service.messages"


def names_imported(path: Path) -> set[str]:
    """The modules that a file names in its imports, those for types alone included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {it.name for it in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{it.name}" for it in node.names}
    return names


def imports_of(*parts: str) -> dict[str, set[str]]:
    """By file, what the files of some packages or modules import."""
    files = [
        file
        for part in parts
        for file in ([ROOT / part] if part.endswith(".py") else sorted((ROOT / part).rglob("*.py")))
    ]
    assert files, parts
    return {str(it.relative_to(ROOT)): names_imported(it) for it in files}


def offenders(imports: dict[str, set[str]], forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{file} imports {name}"
        for file, names in imports.items()
        for name in names
        if any(name == it or name.startswith(f"{it}.") for it in forbidden)
    ]


@pytest.mark.parametrize(
    ("part", "forbidden"),
    [
        ("client", ("training", "lessons")),
        ("service", ("training", "lessons", "tests", "benchmarks")),
        ("training", ("client", "lessons", "tests", "benchmarks")),
        ("lessons", ("client", "tests", "benchmarks")),
        (
            "service/inference",
            ("service.repository", "service.protocols", "service.http", "service.rpc"),
        ),
        ("service/repository", ("service.protocols", "service.http", "service.rpc")),
        ("service/protocols", ("service.http", "service.rpc")),
        ("service/monitoring", ("service.http", "service.rpc", "service.protocols")),
        ("service/http", ("service.rpc",)),
        ("service/rpc", ("service.http", "flask")),
        ("service/remote", ("service.http", "service.rpc", "service.monitoring")),
        ("service/score", ("service.http", "service.rpc", "service.protocols", "client")),
        ("service/contract.py", ("service", "numpy", "tensorflow")),
        ("service/errors.py", ("service",)),
    ],
)
def test_dependencies_point_one_way(part, forbidden):
    assert offenders(imports_of(part), forbidden) == []


def test_client_knows_the_service_for_one_command_that_asks_no_server():
    imports = {
        file: {name for name in names if name.split(".")[0] == "service"}
        for file, names in imports_of("client").items()
    }

    assert {file: names for file, names in imports.items() if names} == {
        "client/_scoring.py": {"service.score"}
    }


def test_nothing_of_the_service_but_scoring_itself_knows_scoring():
    imports = imports_of("service")
    others = {file: it for file, it in imports.items() if not file.startswith("service/score/")}

    assert offenders(others, ("service.score",)) == []


@pytest.mark.parametrize("part", ["service/inference", "service/repository", "service/protocols"])
def test_the_core_knows_no_transport(part):
    transports = ("flask", "gunicorn", "a2wsgi", "werkzeug", "asyncio", "socket", "grpc")

    # A protocol's table may name gRPC's codes.
    assert set(offenders(imports_of(part), transports)) <= {
        "service/protocols/tensorflow_serving_grpc.py imports grpc.StatusCode",
        "service/protocols/open_inference_grpc.py imports grpc.StatusCode",
    }


def test_training_and_lessons_know_nothing_of_the_service_but_the_seam():
    ours = {
        (file, ".".join(name.split(".")[:2]))
        for file, names in imports_of("training", "lessons").items()
        for name in names
        if name.split(".")[0] == "service"
    }

    assert {it for it in ours if it[1] != "service.contract"} == {
        # What describes a network from elsewhere has the service run it.
        ("training/elsewhere/command.py", "service.network"),
        ("training/elsewhere/command.py", "service.errors"),
        ("training/elsewhere/describing.py", "service.network"),
        ("training/elsewhere/describing.py", "service.errors"),
    }


def test_tensorflow_is_imported_in_one_place_and_its_messages_in_another():
    imports = {
        file: {it for it in names if it.split(".")[0] in {"tensorflow", "tensorflow_serving"}}
        for file, names in imports_of("service", "client").items()
    }
    users = {file for file, names in imports.items() if names}

    assert users <= {"service/inference/savedmodel.py", "service/messages.py"}
    assert imports["service/inference/savedmodel.py"] == {"tensorflow"}
    assert "tensorflow" not in imports["service/messages.py"]


def test_no_status_numbers_stand_among_the_errors():
    tree = ast.parse((ROOT / "service/errors.py").read_text())
    numbers = {it.value for it in ast.walk(tree) if isinstance(it, ast.Constant)}

    assert not {it for it in numbers if isinstance(it, int) and 100 <= it < 600}


def test_nothing_is_called_by_a_name_that_says_nothing():
    empty = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    stems = {
        it.stem
        for part in ("service", "client", "training", "lessons")
        for it in (ROOT / part).rglob("*.py")
    }

    assert stems & empty == set()
