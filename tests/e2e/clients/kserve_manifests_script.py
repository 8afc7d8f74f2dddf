"""Whatever in KServe's resources its own SDK does not know, as a list of places.

arguments: the resources, a list
"""

import json
import re
import sys

import kserve
from kubernetes import client


def unknown(value, kind, place):
    """The places below one value that its type does not have; the type is named as OpenAPI does."""
    if isinstance(value, list):
        (item,) = re.fullmatch(r"list\[(\w+)\]", kind, re.IGNORECASE).groups()
        return [it for n, part in enumerate(value) for it in unknown(part, item, f"{place}[{n}]")]
    known = getattr(kserve, kind, None) or getattr(client, kind, None)
    if known is None or not isinstance(value, dict):
        return [] if is_plain(value, kind) else [f"{place} is no {kind}"]
    names = {written: name for name, written in known.attribute_map.items()}
    lost = [f"{place}.{it}" for it in value if it not in names]
    parts = [(it, known.openapi_types[names[it]]) for it in value if it in names]
    return lost + [it for key, of in parts for it in unknown(value[key], of, f"{place}.{key}")]


def is_plain(value, kind):
    plain = {"str": str, "int": int, "bool": bool}
    return isinstance(value, plain.get(kind, (dict, str, int)))


def kind_of(resource):
    version = resource["apiVersion"].partition("/")[2]
    return version[0].upper() + version[1:] + resource["kind"]


print(
    json.dumps(
        [found for it in json.loads(sys.argv[1]) for found in unknown(it, kind_of(it), it["kind"])]
    )
)
