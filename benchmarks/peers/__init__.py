"""Who is measured: Hearth, the limit, and other ways to serve the same SavedModel."""

from __future__ import annotations

from typing import Final

from benchmarks import forms
from benchmarks.peers import commands, limits
from benchmarks.peers.peer import ROOT, Launch, Peer, model_variables

HEARTH: Final = "hearth"
NGINX: Final = "nginx"
GRPC: Final = "grpc"
FLASK: Final = "flask"
FASTAPI: Final = "fastapi"

PEERS: Final[dict[str, Peer]] = {
    HEARTH: Peer(
        "Hearth",
        "its defaults",
        commands.hearth,
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
        "the limit: nothing is read, nothing computed",
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
        commands.flask,
        (forms.tensorflow_serving(),),
        distribution="flask",
        variables=model_variables,
    ),
    FASTAPI: Peer(
        "FastAPI + TensorFlow",
        "uvicorn with uvloop and httptools, pydantic models in and out",
        commands.fastapi,
        (forms.tensorflow_serving(),),
        distribution="fastapi",
        environment="fastapi",
        variables=model_variables,
    ),
    "mlserver": Peer(
        "MLServer",
        "a custom runtime, adaptive batching of up to 64 requests within 1 ms",
        commands.mlserver,
        (forms.open_inference(), forms.grpc_infer()),
        distribution="mlserver",
        environment="mlserver",
        variables=model_variables,
    ),
    "bentoml": Peer(
        "BentoML",
        "a service class with a batchable API",
        commands.bentoml,
        (forms.plain("/predict", "features"),),
        distribution="bentoml",
        environment="bentoml",
        variables=model_variables,
    ),
    "litserve": Peer(
        "LitServe",
        "a LitAPI, one worker, the fast queue",
        commands.litserve,
        (forms.tensorflow_serving("/predict"),),
        distribution="litserve",
        environment="litserve",
        variables=model_variables,
    ),
    "mlflow": Peer(
        "MLflow",
        "a pyfunc model, `mlflow models serve`",
        commands.mlflow,
        (forms.plain("/invocations", "inputs"),),
        distribution="mlflow",
        environment="mlflow",
        variables=model_variables,
    ),
    "kserve": Peer(
        "KServe",
        "a custom model in its model server",
        commands.kserve,
        (forms.tensorflow_serving(), forms.open_inference(), forms.grpc_infer()),
        distribution="kserve",
        environment="kserve",
        variables=model_variables,
    ),
    "ray": Peer(
        "Ray Serve",
        "behind its HAProxy, set for throughput; dynamic batching of up to 64 requests",
        commands.ray,
        (forms.tensorflow_serving("/"),),
        distribution="ray",
        environment="ray",
        variables=commands.ray_variables,
    ),
    "pytriton": Peer(
        "PyTriton",
        "Triton's server before a Python function, dynamic batching",
        commands.pytriton,
        (forms.open_inference_binary(), forms.open_inference(), forms.grpc_infer()),
        distribution="nvidia-pytriton",
        environment="pytriton",
        interpreter="/usr/bin/python3",  # its stubs are linked against the distribution's
        variables=model_variables,
    ),
}

# Limits answer without a model: they are no peers to be faster than.
LIMITS: Final = (NGINX, GRPC)

__all__ = ["FASTAPI", "FLASK", "GRPC", "HEARTH", "LIMITS", "NGINX", "PEERS", "Launch", "Peer"]
