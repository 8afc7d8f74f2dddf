"""The limits: servers that answer a constant of the right size, and compute nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks import forms
from benchmarks.peers.peer import PROGRAMS, find_command
from service import contract as contracts
from service.messages import predict_pb2, types_pb2

if TYPE_CHECKING:
    from benchmarks.peers.peer import Launch

_NGINX: Final = """\
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    location = {predict} {{ return 200 '{predictions}'; }}
    location = {infer} {{ return 200 '{outputs}'; }}
  }}
}}
"""


def nginx(launch: Launch) -> list[str]:
    """Nginx that answers every predict request with the price of the first golden row."""
    price = _price(launch)
    tensor = {"name": "price", "datatype": "FP32", "shape": [1], "data": [price]}
    # The same for both forms of v2: binary answers are about as long.
    outputs = {"model_name": "housing", "model_version": "1", "outputs": [tensor]}
    text = _NGINX.format(
        folder=launch.folder,
        port=launch.ports.http,
        predict=forms.tensorflow_serving().write([[0.0]]).path,
        infer=forms.open_inference().write([[0.0]]).path,
        predictions=forms.as_json({"predictions": [price]}).decode(),
        outputs=forms.as_json(outputs).decode(),
    )
    (launch.folder / "nginx.conf").write_text(text)
    return [
        find_command("nginx") or "nginx",
        "-p",
        str(launch.folder),
        "-c",
        str(launch.folder / "nginx.conf"),
    ]


def grpc_constant(launch: Launch) -> list[str]:
    """A ``grpc.aio`` handler that answers the price of the first golden row, always."""
    answer = predict_pb2.PredictResponse()
    answer.model_spec.name = "housing"
    answer.model_spec.version.value = 1
    answer.model_spec.signature_name = "serving_default"
    output = answer.outputs["price"]
    output.dtype = types_pb2.DT_FLOAT
    output.tensor_shape.dim.add(size=1)
    output.float_val.append(_price(launch))
    (launch.folder / "answer").write_bytes(answer.SerializeToString())
    program = PROGRAMS / "grpc_constant.py"
    return [sys.executable, str(program), str(launch.ports.grpc), str(launch.folder / "answer")]


def _price(launch: Launch) -> float:
    price = contracts.read_golden(launch.version).predictions[0]
    return float(np.float32(price))
