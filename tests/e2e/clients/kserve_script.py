"""KServe's REST and gRPC clients: what they are answered, as JSON.

arguments: address of REST, address of gRPC, rows
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

rest, grpc, rows = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
BATCH = np.array(rows, np.float32)


def request(inputs, **parameters):
    return InferRequest("housing", inputs, request_id="42", parameters=parameters or None)


def batch(values=BATCH, *, binary):
    made = InferInput("features", list(values.shape), "FP32")
    made.set_data_from_numpy(values, binary_data=binary)
    return [made]


def columns(*, binary):
    made = []
    for name, values in zip(["RM", "AGE", "LSTAT"], BATCH.T.astype(np.float64), strict=True):
        made.append(InferInput(name, list(values.shape), "FP64"))
        made[-1].set_data_from_numpy(values, binary_data=binary)
    return made


def requests():
    return {
        "typed": request(batch(binary=False)),
        "raw": request(batch(binary=True)),
        "columns": request(columns(binary=False), content_type="pd"),
        "raw columns": request(columns(binary=True), content_type="pd"),
    }


def prices(response):
    (output,) = response.outputs
    return [response.id, response.model_name, output.as_numpy().tolist()]


async def refusal(call):
    try:
        await call
    except Exception as error:  # noqa: BLE001 - which one is what is asked
        return [type(error).__name__, str(error)]
    return "no error"


async def over_rest():
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    try:
        return {
            "prices": {
                name: prices(await client.infer(rest, it, model_name="housing"))
                for name, it in requests().items()
            },
            "live": await client.is_server_live(rest),
            "ready": await client.is_server_ready(rest),
            "model ready": await client.is_model_ready(rest, "housing"),
            "empty model ready": await client.is_model_ready(rest, "empty"),
            "unknown model": await refusal(
                client.infer(rest, request(batch(binary=False)), model_name="nobody")
            ),
        }
    finally:
        await client.close()


async def over_v1():
    """The older protocol, which is the client's default."""
    client = InferenceRESTClient(RESTConfig(retries=1))
    try:
        return {
            "prices": await client.infer(rest, {"instances": rows}, model_name="housing"),
            "explanations": await client.explain(rest, "housing", {"instances": rows}),
            "live": await client.is_server_live(rest),
            "model ready": await client.is_model_ready(rest, "housing"),
            "empty model ready": await client.is_model_ready(rest, "empty"),
            "unknown model ready": await refusal(client.is_model_ready(rest, "nobody")),
            "unknown model": await refusal(
                client.infer(rest, {"instances": rows}, model_name="nobody")
            ),
            "wrong rows": await refusal(
                client.infer(rest, {"instances": [["x"]]}, model_name="housing")
            ),
        }
    finally:
        await client.close()


async def over_grpc():
    async with InferenceGRPCClient(grpc) as client:
        unknown = InferRequest("nobody", batch(binary=False))
        return {
            "prices": {name: prices(await client.infer(it)) for name, it in requests().items()},
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model ready": await client.is_model_ready("housing"),
            "unknown model": await refusal(client.infer(unknown)),
        }


async def both():
    return {"REST": await over_rest(), "V1": await over_v1(), "gRPC": await over_grpc()}


print(json.dumps(asyncio.run(both())))
