"""Routes as models, in the formats of OpenAI and Anthropic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapters import GatewayError, Kind, Task
from sidecar.domain.snapshot import Route
from sidecar.transport.caller import Context
from sidecar.v1 import rest_pb2
from sidecar.worker.rest.error_bodies import ANTHROPIC, OPENAI, Shape

# Anthropic's own maximum.
_LIMIT_MAX = 1000
# Both formats require a date. A route has none, so this is the Unix epoch.
_NO_DATE_S, _NO_DATE = 0, "1970-01-01T00:00:00Z"
_VERSION = "anthropic-version"


def speaks_anthropic(context: Context) -> bool:
    """Anthropic's SDKs send this header with every call."""
    return any(key == _VERSION for key, _ in context.invocation_metadata() or ())


def shape_of(context: Context) -> Shape:
    """The error format that the caller reads."""
    return ANTHROPIC if speaks_anthropic(context) else OPENAI


def openai_model(route: Route, name: str) -> dict[str, Any]:
    """`name` is the route's own name or an alias."""
    return {
        "id": name,
        "object": "model",
        "created": _NO_DATE_S,
        "owned_by": route.upstreams[0].provider,
    }


def openai_list(routes: Iterable[Route], request: rest_pb2.ListModelsRequest) -> dict[str, Any]:
    """Returns the whole list. Raises invalid_request for paging parameters."""
    for name in ("limit", "after_id"):
        if getattr(request, name):
            text = f"'{name}' is a parameter of Anthropic's API. Send the header anthropic-version with it."
            raise GatewayError(Kind.INVALID_REQUEST, text, param=name)
    return {"object": "list", "data": [openai_model(route, name) for route in routes for name in _names(route)]}


def anthropic_model(route: Route, name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _NO_DATE}


def anthropic_list(routes: Iterable[Route], request: rest_pb2.ListModelsRequest) -> dict[str, Any]:
    """Returns a page of the chat routes, the only ones that the Messages API can call. Raises invalid_request."""
    chats = (route for route in routes if route.task is Task.CHAT)
    entries = [anthropic_model(route, name) for route in chats for name in _names(route)]
    names = [each["id"] for each in entries]
    start = _place(names, request.after_id) + 1 if request.after_id else 0
    end = start + _limit(request.limit)
    page, more = entries[start:end], end < len(entries)
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return {"data": page, "has_more": more, **ends}


def _names(route: Route) -> tuple[str, ...]:
    return (route.name, *route.aliases)


def _place(names: list[str], name: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise GatewayError(
            Kind.INVALID_REQUEST, "'after_id' is not the id of a model in the list.", param="after_id"
        ) from None


def _limit(text: str) -> int:
    if not text:
        return _LIMIT_MAX
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= _LIMIT_MAX):
        raise GatewayError(Kind.INVALID_REQUEST, f"'limit' must be from 1 to {_LIMIT_MAX}.", param="limit")
    return int(text)
