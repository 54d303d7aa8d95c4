"""One call of each route named, with the release's own retries, and how it ended. Prints one JSON object.

python failing.py ADDRESS gateway|deployments ROUTE ...
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("ignore")
HELLO = {"messages": [{"role": "user", "content": "Say hello."}]}


def by_gateway(address: str) -> Callable[[str], Any]:
    import mlflow.gateway as gateway

    gateway.set_gateway_uri(address)
    return lambda route: gateway.query(route, HELLO)


def by_deployments(address: str) -> Callable[[str], Any]:
    from mlflow.deployments import get_deploy_client

    client = get_deploy_client(address)
    return lambda route: client.predict(endpoint=route, inputs=HELLO)


address, client_kind, *routes = sys.argv[1:]
call = {"gateway": by_gateway, "deployments": by_deployments}[client_kind](address)
ended = {}
for route in routes:
    begun_s = time.monotonic()
    try:
        text = repr(call(route))
        kind = None
    except Exception as error:  # noqa: BLE001 - whatever the release raises is what is asked for
        kind, text = type(error).__name__, str(error)
    ended[route] = {"type": kind, "text": text, "seconds": time.monotonic() - begun_s}
print(json.dumps(ended))
