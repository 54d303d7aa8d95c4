"""The OpenAPI 3.1 document for one caller: the paths that it may call, OpenAI's first, with an example for each of
its routes to prefill "Try it out"."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from adapters import Task
from sidecar.domain.snapshot import Route
from sidecar.domain.wildcard import is_wildcard
from sidecar.openapi.bindings import HttpBinding, bindings_of, service
from sidecar.openapi.operations import OPERATIONS, Operation
from sidecar.openapi.schemas import EXAMPLES, RESPONSES_EXAMPLE, SCHEMAS, ref

# A list of thousands of examples does not help; any route can be typed into one.
EXAMPLES_MAX = 50
_EXAMPLE_TASK = {
    "ChatRequest": Task.CHAT,
    "MessagesRequest": Task.CHAT,
    "ResponsesRequest": Task.CHAT,
    "CompletionRequest": Task.COMPLETIONS,
    "EmbeddingRequest": Task.EMBEDDINGS,
}
# Paths that name the route.
_QUERY_TASK = {"ChatQuery": Task.CHAT, "CompletionQuery": Task.COMPLETIONS, "EmbeddingQuery": Task.EMBEDDINGS}
_ERRORS = {
    "400": "The request is not one this route can take.",
    "401": "Wrong or missing credentials.",
    "404": "No such route for this caller.",
    "429": "A limit or a budget; retry-after says when.",
    "503": "The provider, or the gateway, cannot serve this now.",
}
_TEXT = (
    "One request format for all providers behind this gateway. What you see is what you may call: routes are the operator's, "
    "and so are the keys behind them. The same calls exist as typed gRPC (`sidecar.v1`). The lines for curl that this page shows "
    "read your API key from the variable `SIDECAR_API_KEY`."
)
_CA_TEXT = " They trust the gateway by [ca.pem](home/ca.pem): save it where you run them."


def document(
    routes: Mapping[str, Route], version: str, *, admin: bool = False, manages: bool = False, own_ca: bool = False
) -> dict[str, Any]:
    """For a caller that may call `routes`. `manages`: the config lets admins manage routes. `own_ca`: clients have
    to trust the gateway's own CA."""
    paths: dict[str, dict[str, Any]] = {}
    tasks = {route.task for route in routes.values()}
    tags: list[str] = []
    for binding in bindings_of(service()):
        operation = OPERATIONS[binding.rpc]
        if operation.tag is not None and _is_for(operation, tasks, admin=admin, manages=manages):
            paths.setdefault(binding.path, {})[binding.verb] = _operation(binding, operation, routes)
            tags.append(operation.tag)
    shown = [{"name": tag} for tag in dict.fromkeys(each.tag for each in OPERATIONS.values()) if tag in tags]
    return {
        "openapi": "3.1.0",
        "info": {"title": "LLM gateway", "version": version, "description": _TEXT + (_CA_TEXT if own_ca else "")},
        "servers": [{"url": "./"}],  # relative to where the document is, below any path that a load balancer adds
        "security": [{"basic": []}, {"key": []}, {"key_header": []}, {"azure_header": []}],
        "tags": shown,
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "User and password."},
                "key": {"type": "http", "scheme": "bearer", "description": "An API key: base64 of user:password."},
                "key_header": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same key."},
                "azure_header": {"type": "apiKey", "in": "header", "name": "api-key", "description": "The same key."},
            },
        },
        "x-own-ca": own_ca,
    }


def _is_for(operation: Operation, tasks: Collection[Task], *, admin: bool, manages: bool) -> bool:
    if (operation.admin and not admin) or (operation.manages and not manages):
        return False
    return operation.task is None or operation.task in tasks


def _query(binding: HttpBinding) -> list[str]:
    """Fields that are neither in the path nor the body come from the query; other parameters may be accepted and
    ignored."""
    if binding.message.full_name == "google.api.HttpBody":
        return [*binding.unread]
    fields = [
        field.name
        for field in binding.message.fields
        if field.name not in binding.variables and field.message_type is None
    ]
    return [*fields, *binding.unread]


def _operation(binding: HttpBinding, operation: Operation, routes: Mapping[str, Route]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": _id(binding),
        "responses": _responses(operation.response, operation.error, streams=operation.streams),
    }
    parameters = [_path_parameter(name, binding, operation, routes) for name in binding.variables]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}} for name in _query(binding)
    ]
    if parameters:
        found["parameters"] = parameters
    if operation.request is not None:
        found["requestBody"] = _body(operation.request, _examples(operation.request, routes))
    if operation.public:
        found["security"] = []
    return found


def _id(binding: HttpBinding) -> str:
    """Unique, since an RPC may have several paths."""
    return f"{binding.verb}{re.sub(r'[^A-Za-z0-9]+', '_', binding.path)}"


def _path_parameter(
    name: str, binding: HttpBinding, operation: Operation, routes: Mapping[str, Route]
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    names = sorted(routes, key=is_wildcard)  # a wildcard cannot be called by its own name
    if operation.names_route and names:
        schema["examples"] = names[:1]
        schema["default"] = names[0]
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _examples(request: str, routes: Mapping[str, Route]) -> dict[str, dict[str, Any]]:
    """Keyed by the route that each calls."""
    task = _EXAMPLE_TASK.get(request)
    if task is None:
        return {}
    members = RESPONSES_EXAMPLE if request == "ResponsesRequest" else EXAMPLES[task]
    names = [name for name, route in routes.items() if route.task is task and not is_wildcard(name)]
    return {name: {"model": name, **members} for name in names[:EXAMPLES_MAX]}


def _body(schema: str, examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": ref(schema)}
    if examples:
        content["examples"] = {name: {"summary": f"Route {name}", "value": each} for name, each in examples.items()}
    return {"required": True, "content": {"application/json": content}}


def _responses(schema: str, error: str, *, streams: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": ref(schema)}}
    if streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    failed = {"application/json": {"schema": ref(error)}}
    return {
        "200": {"description": "The answer.", "content": content},
        **{status: {"description": text, "content": failed} for status, text in _ERRORS.items()},
    }
