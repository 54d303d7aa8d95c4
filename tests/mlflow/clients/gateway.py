"""Every public call of mlflow.gateway (2.5 to 2.22) against one address, in the release's environment. Prints one JSON object.

python gateway.py ADDRESS DIALECT [FAILING_ROUTE]       with a failing route: only what its failure is and how long it took
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("ignore")
import mlflow  # noqa: E402
import mlflow.gateway as gateway  # noqa: E402

HELLO = [{"role": "user", "content": "Say hello."}]
LIMIT = {"calls": 100000, "key": "user", "renewal_period": "minute"}


def plain(value: Any) -> Any:
    """Pydantic of either generation."""
    return json.loads(value.json())


def failure(function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    begun_s = time.monotonic()
    try:
        answer = function(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever the release raises is what is asked for
        return {"type": type(error).__name__, "text": str(error), "seconds": time.monotonic() - begun_s}
    return {"type": None, "text": repr(answer), "seconds": time.monotonic() - begun_s}


def everything(dialect: str) -> dict[str, Any]:
    client = gateway.MlflowGatewayClient(gateway.get_gateway_uri())
    page = client.search_routes()
    results = {
        "version": mlflow.__version__,
        "uri": gateway.get_gateway_uri(),
        "client_uri": client.gateway_uri,
        "routes": [plain(route) for route in gateway.search_routes()],
        "client_routes": [route.name for route in page],
        "next_page_token": page.token,
        "route": plain(gateway.get_route("chat")),
        "client_route": plain(client.get_route("embeddings")),
        "chat": gateway.query("chat", {"messages": HELLO}),
        "client_chat": client.query("chat", {"messages": HELLO, "temperature": 0.5, "max_tokens": 9}),
        "completions": gateway.query("completions", {"prompt": "Once"}),
        "embeddings": gateway.query("embeddings", {"text" if dialect == "A" else "input": ["cats", "dogs"]}),
        "unknown_route": failure(gateway.get_route, "no-such-route"),
        "unknown_query": failure(gateway.query, "no-such-route", {"prompt": "x"}),
        "wrong_query": failure(gateway.query, "chat", {"prompt": "x"}),
        "create": failure(gateway.create_route, "made", "llm/v1/chat", {"name": "m", "provider": "openai"}),
        "delete": failure(gateway.delete_route, "made"),
    }
    if hasattr(gateway, "set_limits"):
        results["limits"] = [
            plain(gateway.set_limits("chat", [LIMIT])),
            plain(gateway.get_limits("chat")),
            plain(client.set_limits("chat", [])),
        ]
    return results


address, which, *failing = sys.argv[1:]
gateway.set_gateway_uri(address)
print(json.dumps(failure(gateway.query, failing[0], {"messages": HELLO}) if failing else everything(which)))
