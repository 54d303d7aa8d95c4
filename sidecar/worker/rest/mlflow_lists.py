"""Routes and pages of routes as MLflow's clients read them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Collection
from itertools import islice
from typing import Any

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Route
from sidecar.worker.rest.mlflow_dialect import provider_name

# MLflow's own page size; a route takes some 150 bytes.
PAGE_SIZE = 3000
# More routes than any configuration has.
_INDEX_MAX = 2**31
_TOKEN_CHARS_MAX = 64


def route(each: Route) -> dict[str, Any]:
    """A route in dialect A. `limit` exists since 2.10 and is ignored by older clients."""
    return {
        "name": each.name,
        "route_type": f"llm/v1/{each.task}",
        "model": _model(each),
        "route_url": f"/gateway/{each.name}/invocations",
        "limit": _limit(each),
    }


def endpoint(each: Route) -> dict[str, Any]:
    """A route in dialect B. Its clients require the key `limit`."""
    return {
        "name": each.name,
        "endpoint_type": f"llm/v1/{each.task}",
        "model": _model(each),
        "endpoint_url": f"/endpoints/{each.name}/invocations",
        "limit": _limit(each),
    }


def traffic_route(each: Route) -> dict[str, Any]:
    """A route whose strategy is weighted."""
    whole = sum(upstream.weight for upstream in each.upstreams) or 1
    shares = [round(100 * upstream.weight / whole) for upstream in each.upstreams]
    return {
        "name": each.name,
        "task_type": f"llm/v1/{each.task}",
        "destinations": [
            {"name": upstream.name or upstream.provider, "traffic_percentage": share}
            for upstream, share in zip(each.upstreams, shares, strict=True)
        ],
        "routing_strategy": "TRAFFIC_SPLIT",
    }


def _model(each: Route) -> dict[str, str]:
    return {"name": each.upstreams[0].model, "provider": provider_name(each)}


def _limit(each: Route) -> dict[str, Any] | None:
    if each.mlflow_limit is None:
        return None
    calls, renewal_period, key = each.mlflow_limit
    return {"calls": calls, "key": key, "renewal_period": renewal_period}


def page(name: str, routes: Collection[Route], token: str, shown: Callable[[Route], dict[str, Any]]) -> dict[str, Any]:
    """Returns a page of the list called `name`. Raises invalid_request for a token that no page returned."""
    start = _start(token)
    end = start + PAGE_SIZE
    return {
        name: [shown(each) for each in islice(routes, start, end)],
        "next_page_token": _token(end) if end < len(routes) else None,
    }


def _token(index: int) -> str:
    return base64.b64encode(json.dumps({"index": index}).encode()).decode()


def _start(token: str) -> int:
    if not token:
        return 0
    try:
        value = json.loads(base64.b64decode(token[:_TOKEN_CHARS_MAX], validate=True))
        index = value["index"]
        if type(index) is int and 0 <= index <= _INDEX_MAX and len(token) <= _TOKEN_CHARS_MAX:
            return index
    except (binascii.Error, ValueError, TypeError, KeyError, RecursionError):
        pass
    raise GatewayError(Kind.INVALID_REQUEST, "Invalid page token.", param="page_token")
