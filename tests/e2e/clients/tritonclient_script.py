"""Triton's four clients, over REST and gRPC, plain and asyncio: what they are answered, as JSON.

arguments: address of REST, address of gRPC, rows
"""

import asyncio
import json
import sys
from functools import partial

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.grpc.aio as over_grpc_aio
import tritonclient.http as over_http
import tritonclient.http.aio as over_http_aio
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

rest, grpc, rows = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
BATCH = np.array(rows, np.float32)
MANY = np.tile(BATCH, (2000, 1))


def batch(library, array=BATCH, **binary):
    made = library.InferInput("features", list(array.shape), "FP32")
    made.set_data_from_numpy(array, **binary)
    return [made]


def columns(library):
    made = []
    for name, values in zip(["RM", "AGE", "LSTAT"], BATCH.T.astype(np.float64), strict=True):
        made.append(library.InferInput(name, list(values.shape), "FP64"))
        made[-1].set_data_from_numpy(values)
    return made


def prices(result):
    return result.as_numpy("price").tolist()


def requests(library):
    """Arguments of infer, by what they show."""
    price = library.InferRequestedOutput("price")
    return {
        "default": {"inputs": batch(library)},
        "version, id and output": {
            "inputs": batch(library),
            "model_version": "1",
            "request_id": "42",
            "outputs": [price],
        },
        "columns": {"inputs": columns(library), "parameters": {"content_type": "pd"}},
        "signature": {"inputs": columns(library), "parameters": {"signature_name": "named"}},
    }


def http_requests(library):
    """Those that only REST has: JSON, and compressed bodies."""
    as_json = partial(library.InferRequestedOutput, "price", binary_data=False)
    packed = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "deflate"}
    return {
        **requests(library),
        "JSON": {"inputs": batch(library, binary_data=False), "outputs": [as_json()]},
        "JSON in": {"inputs": batch(library, binary_data=False)},
        "JSON out": {"inputs": batch(library), "outputs": [as_json()]},
        "packed": {"inputs": batch(library), **packed},
    }


def http_packed(library):
    """Many rows, packed either way: long enough that the answer is packed too."""
    return [
        {
            "inputs": batch(library, MANY),
            "request_compression_algorithm": one,
            "response_compression_algorithm": other,
        }
        for one, other in (("gzip", "deflate"), ("deflate", "gzip"))
    ]


def said(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return "no error"


async def said_aio(call, *arguments, **named):
    try:
        await call(*arguments, **named)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return "no error"


def ask(client, library, asked, **as_json):
    wrong = batch(library, BATCH[:, :2])
    return {
        "prices": {name: prices(client.infer("housing", **it)) for name, it in asked.items()},
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model ready": [
            client.is_model_ready("housing"),
            client.is_model_ready("housing", "1"),
            client.is_model_ready("nobody"),
        ],
        "server": client.get_server_metadata(**as_json),
        "model": client.get_model_metadata("housing", **as_json),
        "config": client.get_model_config("housing", **as_json),
        "index": client.get_model_repository_index(**as_json),
        "statistics": client.get_inference_statistics("housing", **as_json),
        "unknown model": said(client.infer, "nobody", batch(library)),
        "wrong shape": said(client.infer, "housing", wrong),
        "load": said(client.load_model, "housing"),
    }


async def ask_aio(client, library, asked, **as_json):
    wrong = batch(library, BATCH[:, :2])
    return {
        "prices": {name: prices(await client.infer("housing", **it)) for name, it in asked.items()},
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model ready": [
            await client.is_model_ready("housing"),
            await client.is_model_ready("housing", "1"),
            await client.is_model_ready("nobody"),
        ],
        "server": await client.get_server_metadata(**as_json),
        "model": await client.get_model_metadata("housing", **as_json),
        "config": await client.get_model_config("housing", **as_json),
        "index": await client.get_model_repository_index(**as_json),
        "statistics": await client.get_inference_statistics("housing", **as_json),
        "unknown model": await said_aio(client.infer, "nobody", batch(library)),
        "wrong shape": await said_aio(client.infer, "housing", wrong),
        "load": await said_aio(client.load_model, "housing"),
    }


async def ask_both_aio():
    async with over_http_aio.InferenceServerClient(rest) as client:
        http = await ask_aio(client, over_http, http_requests(over_http))
        packed = [prices(await client.infer("housing", **it)) for it in http_packed(over_http)]
    async with over_grpc_aio.InferenceServerClient(grpc) as client:
        rpc = await ask_aio(client, over_grpc, requests(over_grpc), as_json=True)
    return {"http aio": {**http, "packed": packed}, "grpc aio": rpc}


def messages():
    """Fields of the messages that Triton's client sends and reads, by name: number and type."""
    return {
        name: {it.name: [it.number, it.type, it.is_repeated] for it in message.fields}
        for name, message in _all(service_pb2.DESCRIPTOR.message_types_by_name)
    }


def _all(types):
    for message in types.values():
        yield message.full_name, message
        yield from _all(message.nested_types_by_name)


with over_http.InferenceServerClient(rest) as http_client:
    http = ask(http_client, over_http, http_requests(over_http))
    packed = [prices(http_client.infer("housing", **it)) for it in http_packed(over_http)]
    response = http_client.infer("housing", batch(over_http), request_id="42").get_response()
    asynchronous = prices(http_client.async_infer("housing", batch(over_http)).get_result())
with over_grpc.InferenceServerClient(grpc) as grpc_client:
    rpc = ask(grpc_client, over_grpc, requests(over_grpc), as_json=True)
print(
    json.dumps(
        {
            "http": {**http, "packed": packed},
            "grpc": rpc,
            **asyncio.run(ask_both_aio()),
            "response": response,
            "async_infer": asynchronous,
            "messages": messages(),
        }
    )
)
