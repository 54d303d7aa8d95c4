"""The OpenAPI 3.1 document: every path that is bound to an RPC of RestService, and a path of its own for each of the caller's
routes, so that "Try it out" has something to fill in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters import Task
from sidecar.domain.snapshot import Route
from sidecar.domain.wildcard import is_wildcard
from sidecar.openapi.bindings import HttpBinding, bindings_of, service
from sidecar.openapi.operations import OPERATIONS, Operation
from sidecar.openapi.schemas import EXAMPLES, RESPONSES_EXAMPLE, SCHEMAS, ref

# A page with thousands of forms helps nobody and takes seconds to open; the paths with a name in them serve all routes.
ROUTES_SHOWN_MAX = 200
_QUERY_PATH = "/endpoints/{}/invocations"
_EXAMPLE_TASK = {
    "ChatRequest": Task.CHAT,
    "MessagesRequest": Task.CHAT,
    "ResponsesRequest": Task.CHAT,
    "CompletionRequest": Task.COMPLETIONS,
    "EmbeddingRequest": Task.EMBEDDINGS,
}
# Of paths that name the route.
_QUERY_TASK = {"ChatQuery": Task.CHAT, "CompletionQuery": Task.COMPLETIONS, "EmbeddingQuery": Task.EMBEDDINGS}
_BY_TASK = {
    Task.CHAT: ("ChatQuery", "ChatResponse"),
    Task.COMPLETIONS: ("CompletionQuery", "CompletionResponse"),
    Task.EMBEDDINGS: ("EmbeddingQuery", "EmbeddingResponse"),
}
_ERRORS = {
    "400": "The request is not one this route can take.",
    "401": "Wrong or missing credentials.",
    "404": "No such route for this caller.",
    "429": "A limit or a budget; retry-after says when.",
    "503": "The provider, or the gateway, cannot serve this now.",
}
_TEXT = (
    "One request format for all providers behind this gateway. What you see is what you may call: routes are the operator's, "
    "and so are the keys behind them. The same calls exist as typed gRPC (`sidecar.v1`)."
)


def document(routes: Mapping[str, Route], version: str) -> dict[str, Any]:
    """For a caller that may call `routes`."""
    paths: dict[str, dict[str, Any]] = {}
    for binding in bindings_of(service()):
        operation = OPERATIONS[binding.rpc]
        if operation.tag is not None:
            paths.setdefault(binding.path, {})[binding.verb] = _operation(binding, operation, routes)
    callable_ = [route for route in routes.values() if not is_wildcard(route.name)]
    for route in callable_[:ROUTES_SHOWN_MAX]:
        paths.setdefault(_QUERY_PATH.format(route.name), {})["post"] = _query_of(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "LLM gateway", "version": version, "description": _TEXT},
        "servers": [{"url": "./"}],  # where the document comes from, below whatever path a balancer puts before it
        "security": [{"basic": []}, {"key": []}, {"key_header": []}],
        "tags": _tags(),
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "User and password."},
                "key": {"type": "http", "scheme": "bearer", "description": "An API key: base64 of user:password."},
                "key_header": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same key."},
            },
        },
    }


def _query(binding: HttpBinding) -> list[str]:
    """Fields that are neither in the path nor the body come from the query; others may stand there and mean nothing."""
    if binding.message.full_name == "google.api.HttpBody":
        return [*binding.unread]
    fields = [
        field.name
        for field in binding.message.fields
        if field.name not in binding.variables and field.message_type is None
    ]
    return [*fields, *binding.unread]


def _tags() -> list[dict[str, str]]:
    names = dict.fromkeys(operation.tag for operation in OPERATIONS.values() if operation.tag is not None)
    return [{"name": "Your routes"}, *({"name": name} for name in names)]


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
        found["requestBody"] = _body(operation.request, _example(operation.request, routes))
    if operation.public:
        found["security"] = []
    return found


def _id(binding: HttpBinding) -> str:
    """Unique: an RPC may have several paths."""
    return f"{binding.verb}{re.sub(r'[^A-Za-z0-9]+', '_', binding.path)}"


def _path_parameter(
    name: str, binding: HttpBinding, operation: Operation, routes: Mapping[str, Route]
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    names = sorted(routes, key=is_wildcard)  # nobody can call a wildcard by its own name
    if operation.names_route and names:
        schema["examples"] = names[:1]
        schema["default"] = names[0]
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _example(request: str, routes: Mapping[str, Route]) -> dict[str, Any] | None:
    task = _EXAMPLE_TASK.get(request)
    if task is None:
        return EXAMPLES[_QUERY_TASK[request]] if request in _QUERY_TASK else None
    of_task = (name for name, route in routes.items() if route.task is task)
    name = next(iter(sorted(of_task, key=is_wildcard)), "no-route-of-this-type")
    return {"model": name, **(RESPONSES_EXAMPLE if request == "ResponsesRequest" else EXAMPLES[task])}


def _query_of(route: Route) -> dict[str, Any]:
    request, response = _BY_TASK[route.task]
    return {
        "tags": ["Your routes"],
        "summary": f"{route.name}: {route.task}",
        "operationId": f"query_{re.sub('[^A-Za-z0-9]', '_', route.name)}_{route.name.encode().hex()}",
        "requestBody": _body(request, EXAMPLES[route.task]),
        "responses": _responses(response, "Detail", streams=route.task is not Task.EMBEDDINGS),
    }


def _body(schema: str, example: dict[str, Any] | None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": ref(schema)}
    if example is not None:
        content["example"] = example
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
