"""Who is measured: Hearth, the limit, and other ways to serve the same SavedModel."""

from __future__ import annotations

import sys
from typing import Final

from benchmarks import forms
from benchmarks.peers import limits
from benchmarks.peers.peer import ROOT, Launch, Peer, model_variable

HEARTH: Final = "hearth"
NGINX: Final = "nginx"
FLASK: Final = "flask"
FASTAPI: Final = "fastapi"
GRPC: Final = "grpc"


def _hearth(launch: Launch) -> list[str]:
    return [
        sys.executable, "-m", "service",
        f"--rest_api_port={launch.ports.http}", f"--port={launch.ports.grpc}", "--host=127.0.0.1",
        "--model_name=housing", f"--model_base_path={launch.version.parent}",
        f"--workers={launch.workers}", "--quiet", *launch.flags,
    ]  # fmt: skip


def _flask(launch: Launch) -> list[str]:
    return [
        str(launch.python), "-m", "gunicorn", "--bind", f"127.0.0.1:{launch.ports.http}",
        "--workers", str(launch.workers), "--worker-class", "gthread", "--threads", "16",
        "--keep-alive", "75", "--log-level", "warning", "--no-control-socket",
        "--chdir", launch.program(""), "flask_tensorflow:create_app()",
    ]  # fmt: skip


def _fastapi(launch: Launch) -> list[str]:
    return [
        launch.tool("uvicorn"), "--app-dir", launch.program(""), "--host", "127.0.0.1",
        "--port", str(launch.ports.http), "--workers", str(launch.workers),
        "--log-level", "warning", "--no-access-log", "fastapi_tensorflow:app",
    ]  # fmt: skip


PEERS: Final[dict[str, Peer]] = {
    HEARTH: Peer(
        "Hearth",
        "its defaults",
        _hearth,
        (
            forms.tensorflow_serving(),
            forms.open_inference(),
            forms.open_inference_binary(),
            forms.grpc_predict(),
            forms.grpc_infer(),
        ),
        variables=lambda _: {"PYTHONPATH": str(ROOT)},
    ),
    NGINX: Peer(
        "nginx, a constant answer",
        "the limit: nothing is read, nothing computed; one worker",
        limits.nginx,
        (forms.tensorflow_serving(), forms.open_inference()),
        needs=("nginx",),
    ),
    GRPC: Peer(
        "grpc.aio, a constant answer",
        "the limit of gRPC in Python: nothing is read, nothing computed",
        limits.grpc_constant,
        (forms.grpc_predict(),),
        distribution="grpcio",
    ),
    FLASK: Peer(
        "Flask + TensorFlow",
        "gunicorn, gthread worker of 16 threads; in Hearth's own environment",
        _flask,
        (forms.tensorflow_serving(),),
        distribution="flask",
        variables=model_variable,
    ),
    FASTAPI: Peer(
        "FastAPI + TensorFlow",
        "uvicorn with uvloop and httptools, a pydantic model in and out",
        _fastapi,
        (forms.tensorflow_serving(),),
        distribution="fastapi",
        environment="fastapi",
        variables=model_variable,
    ),
}

# Limits answer without a model: they are no peers to be faster than.
LIMITS: Final = (NGINX, GRPC)

__all__ = ["FASTAPI", "FLASK", "GRPC", "HEARTH", "LIMITS", "NGINX", "PEERS", "Launch", "Peer"]
