"""Pages of a request's input items, as OpenAI lists them."""

from __future__ import annotations

import msgspec

from adapters import GatewayError, Kind
from adapters.responses.remembered import Item
from sidecar.v1 import rest_pb2

# OpenAI's values.
_LIMIT, _LIMIT_MAX = 20, 100


def page(items: list[Item], request: rest_pb2.ListResponseInputItemsRequest) -> bytes:
    """Returns a page, newest first unless the request asks for `asc`. Raises invalid_request."""
    if request.order not in ("", "asc", "desc"):
        raise GatewayError(Kind.INVALID_REQUEST, "'order' must be asc or desc.", param="order")
    ordered = items if request.order == "asc" else items[::-1]
    ids = [msgspec.json.decode(item["id"]) for item in ordered]
    start = 0
    if request.after:
        if request.after not in ids:
            raise GatewayError(Kind.INVALID_REQUEST, "'after' is not the id of an item in the list.", param="after")
        start = ids.index(request.after) + 1
    end = start + _limit(request.limit)
    found = ids[start:end]
    return msgspec.json.encode(
        {
            "object": "list",
            "data": ordered[start:end],
            "first_id": found[0] if found else None,
            "last_id": found[-1] if found else None,
            "has_more": end < len(ordered),
        }
    )


def _limit(text: str) -> int:
    if not text:
        return _LIMIT
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= _LIMIT_MAX):
        raise GatewayError(Kind.INVALID_REQUEST, f"'limit' must be from 1 to {_LIMIT_MAX}.", param="limit")
    return int(text)
