"""MLflow's scoring client: what it is answered, as JSON."""

import json
import sys

import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

host, port, rows = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
client = ScoringServerClient(host, port)
client.wait_server_ready(timeout=20)
houses = pd.DataFrame(rows, columns=["RM", "AGE", "LSTAT"])
shuffled = houses[["LSTAT", "RM", "AGE"]].assign(TAX=300)
try:
    client.invoke(houses[["RM", "AGE"]])
    refusal = "none"
except Exception as error:  # noqa: BLE001 - the client raises no other
    refusal = str(error)
print(
    json.dumps(
        {
            "version": client.get_version(),
            "dataframe": client.invoke(houses)["predictions"],
            "shuffled": client.invoke(shuffled)["predictions"],
            "array": client.invoke(np.array(rows))["predictions"],
            "records": client.invoke(houses.to_dict("records"))["predictions"],
            "body": client.invoke(json.dumps({"instances": rows}))["predictions"],
            "named": client.invoke(houses, params={"signature_name": "named"})["predictions"],
            "as a table": client.invoke(houses).get_predictions()[0].tolist(),
            "refusal": refusal,
        }
    )
)
