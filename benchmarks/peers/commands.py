"""How each server is started: one worker, set up as its own documentation recommends."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.peers.peer import PROGRAMS, Launch, model_variables

if TYPE_CHECKING:
    from pathlib import Path


def hearth(launch: Launch) -> list[str]:
    """Hearth with its defaults."""
    return [
        sys.executable, "-m", "service",
        f"--rest_api_port={launch.ports.http}", f"--port={launch.ports.grpc}", "--host=127.0.0.1",
        "--model_name=housing", f"--model_base_path={launch.version.parent}",
        f"--workers={launch.workers}", "--quiet", *launch.flags,
    ]  # fmt: skip


def flask(launch: Launch) -> list[str]:
    """Gunicorn with threads, kept-alive connections and no access log.

    References:
        docs.gunicorn.org/en/stable/design.html, "AsyncIO Workers" and "How Many Threads?".
    """
    return [
        sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{launch.ports.http}",
        "--workers", "1", "--worker-class", "gthread", "--threads", "16", "--keep-alive", "75",
        "--log-level", "warning", "--no-control-socket",
        "--chdir", str(PROGRAMS), "flask_tensorflow:create_app()",
    ]  # fmt: skip


def fastapi(launch: Launch) -> list[str]:
    """Uvicorn with what ``uvicorn[standard]`` brings, without an access log.

    References:
        fastapi.tiangolo.com/deployment/manually.
    """
    return [
        launch.tool("uvicorn"), "--app-dir", str(PROGRAMS), "--host", "127.0.0.1",
        "--port", str(launch.ports.http), "--log-level", "warning", "--no-access-log",
        "fastapi_tensorflow:app",
    ]  # fmt: skip


def mlserver(launch: Launch) -> list[str]:
    """``mlserver start`` with a model's settings beside the server's.

    References:
        docs.seldon.ai/mlserver/user-guide/custom and .../adaptive-batching.
    """
    _write(launch.folder / "settings.json", {
        "host": "127.0.0.1", "http_port": launch.ports.http, "grpc_port": launch.ports.grpc,
        "metrics_port": launch.ports.further, "parallel_workers": 1, "debug": False,
    })  # fmt: skip
    _write(launch.folder / "model-settings.json", {
        "name": "housing", "implementation": "mlserver_tensorflow.Prices",
        "max_batch_size": 64, "max_batch_time": 0.001,
    })  # fmt: skip
    return [launch.tool("mlserver"), "start", str(launch.folder)]


def bentoml(launch: Launch) -> list[str]:
    """``bentoml serve``, which is meant for production as it is.

    References:
        docs.bentoml.com/en/latest/get-started/adaptive-batching.html.
    """
    return [
        launch.tool("bentoml"), "serve", "bentoml_tensorflow:Prices",
        "--working-dir", str(PROGRAMS), "--host", "127.0.0.1", "--port", str(launch.ports.http),
    ]  # fmt: skip


def litserve(launch: Launch) -> list[str]:
    """The program that runs LitServe.

    References:
        lightning.ai/docs/litserve/api-reference/litserver.
    """
    return [str(launch.python), str(PROGRAMS / "litserve_tensorflow.py")]


def mlflow(launch: Launch) -> list[str]:
    """``mlflow models serve`` of a model that is written first.

    References:
        mlflow.org/docs/latest/ml/deployment/deploy-model-locally.
    """
    model = launch.folder / "model"
    subprocess.run(  # noqa: S603 - ours
        [str(launch.python), str(PROGRAMS / "mlflow_tensorflow.py"), str(launch.version), model],
        check=True,
        capture_output=True,
        cwd=launch.folder,
    )
    return [
        launch.tool("mlflow"), "models", "serve", "--model-uri", str(model),
        "--env-manager", "local", "--host", "127.0.0.1", "--port", str(launch.ports.http),
        "--workers", "1",
    ]  # fmt: skip


def kserve(launch: Launch) -> list[str]:
    """The program that runs KServe's model server.

    References:
        kserve.github.io/website, "Custom Model Serving".
    """
    return [str(launch.python), str(PROGRAMS / "kserve_tensorflow.py")]


def ray(launch: Launch) -> list[str]:
    """The program that runs Ray Serve."""
    return [str(launch.python), str(PROGRAMS / "ray_tensorflow.py")]


def ray_variables(launch: Launch) -> dict[str, str]:
    """Ray Serve's high throughput options; HAProxy takes paths of 97 bytes at most.

    References:
        docs.ray.io/en/master/kuberay/user-guides/serve-high-throughput.html.
    """
    return {
        **model_variables(launch),
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(launch.folder / "h" / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(launch.folder / "h" / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(launch.folder / "h"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(launch.folder / "h" / "server-state"),
    }


def pytriton(launch: Launch) -> list[str]:
    """The program that runs PyTriton.

    References:
        triton-inference-server.github.io/pytriton/latest/binding_configuration.
    """
    return [str(launch.python), str(PROGRAMS / "pytriton_tensorflow.py")]


def _write(path: Path, settings: dict[str, object]) -> None:
    path.write_text(json.dumps(settings))
