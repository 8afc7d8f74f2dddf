"""OpenVINO's client over REST and gRPC: what it is answered, as JSON."""

import json
import sys

import numpy as np
import ovmsclient

rest, grpc, rows = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
batch = np.array(rows, np.float32)
columns = dict(zip(["RM", "AGE", "LSTAT"], batch.T, strict=True))
answers = {}
for wire, client in {
    "REST": ovmsclient.make_http_client(rest),
    "gRPC": ovmsclient.make_grpc_client(grpc),
}.items():
    try:
        client.predict({"features": batch}, "nobody")
        unknown = "none"
    except ovmsclient.ModelNotFoundError:
        unknown = "ModelNotFoundError"
    status = client.get_model_status("housing")
    answers[wire] = {
        "default": client.predict({"features": batch}, "housing").tolist(),
        "version 1": client.predict({"features": batch}, "housing", 1).tolist(),
        "states": {number: it["state"] for number, it in status.items()},
        "unknown model": unknown,
    }
metadata = client.get_model_metadata("housing")
answers["metadata"] = {"version": metadata["model_version"], "inputs": metadata["inputs"]}
print(json.dumps(answers))
