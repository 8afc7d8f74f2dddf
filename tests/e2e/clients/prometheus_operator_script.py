"""Resources of the Prometheus operator, as its own API's types understand them, as JSON.

arguments: the resources, a list
"""

import json
import sys

from cloudcoil.models.prometheus_operator import v1

print(
    json.dumps(
        [
            getattr(v1, it["kind"])
            .model_validate(it)
            .model_dump(mode="json", by_alias=True, exclude_unset=True)
            for it in json.loads(sys.argv[1])
        ]
    )
)
