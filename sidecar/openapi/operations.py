"""Describes each RPC of RestService for readers of the page. A test keeps it complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from adapters import Task


@dataclass(frozen=True, slots=True)
class Operation:
    """`request`, `response` and `error` name schemas. `tag` None: not shown (the page's own files)."""

    tag: str | None
    summary: str
    response: str
    request: str | None = None
    error: str = "Error"
    streams: bool = False
    public: bool = False
    names_route: bool = False  # its path variable is a route's name
    task: Task | None = None  # for callers who may call such a route
    admin: bool = False  # for admins
    manages: bool = False  # if the config allows managing routes


_OPENAI = "OpenAI's API"
_ANTHROPIC = "Anthropic's API"
_MLFLOW = "MLflow"
_AZURE = "Azure's paths"
_PAGE = Operation(None, "The page", "Json")

_OPERATIONS: Mapping[str, Operation] = {
    "ChatCompletions": Operation(_OPENAI, "Chat with a route", "ChatResponse", "ChatRequest", streams=True),
    "Completions": Operation(_OPENAI, "Continue a text", "CompletionResponse", "CompletionRequest", streams=True),
    "Embeddings": Operation(_OPENAI, "Turn texts into vectors", "EmbeddingResponse", "EmbeddingRequest"),
    "AzureChatCompletions": Operation(
        _AZURE,
        "Chat with a route, as Azure's SDKs call it",
        "ChatResponse",
        "ChatQuery",
        streams=True,
        names_route=True,
    ),
    "AzureCompletions": Operation(
        _AZURE,
        "Continue a text, as Azure's SDKs call it",
        "CompletionResponse",
        "CompletionQuery",
        streams=True,
        names_route=True,
    ),
    "AzureEmbeddings": Operation(
        _AZURE,
        "Turn texts into vectors, as Azure's SDKs call it",
        "EmbeddingResponse",
        "EmbeddingQuery",
        names_route=True,
    ),
    "CreateMessage": Operation(
        _ANTHROPIC,
        "Chat with a route by the Messages API",
        "MessagesResponse",
        "MessagesRequest",
        error="AnthropicError",
        streams=True,
    ),
    "CreateResponse": Operation(
        _OPENAI, "Chat with a route by the Responses API", "ResponsesResponse", "ResponsesRequest", streams=True
    ),
    "CountResponseTokens": Operation(
        _OPENAI, "Count the tokens of a Responses request", "ResponseTokenCount", "ResponsesRequest"
    ),
    "CompactResponse": Operation(_OPENAI, "Make a conversation shorter (OpenAI's models)", "Json", "ResponsesRequest"),
    "GetResponse": Operation(_OPENAI, "Read an answer that is remembered", "ResponsesResponse"),
    "DeleteResponse": Operation(_OPENAI, "Forget an answer", "DeletedResponse"),
    "ListResponseInputItems": Operation(_OPENAI, "Read what the model was given for an answer", "ResponseItemList"),
    "CountMessageTokens": Operation(
        _ANTHROPIC, "Count the tokens of a Messages request", "TokenCount", "MessagesRequest", error="AnthropicError"
    ),
    "ListModels": Operation(_OPENAI, "List your routes, as models", "ModelList"),
    "GetModel": Operation(_OPENAI, "Read one route, as a model", "Model", names_route=True),
    "ListMlflowRoutes": Operation(_MLFLOW, "List your routes (MLflow 2.5 to 2.8)", "RouteList", error="Detail"),
    "CreateMlflowRoute": Operation(_MLFLOW, "Create a route (admins)", "Route", "RouteSpec", error="Detail"),
    "GetMlflowRoute": Operation(_MLFLOW, "Read one route", "Route", error="Detail", names_route=True),
    "UpdateMlflowRoute": Operation(
        _MLFLOW,
        "Replace a route that the API created (admins)",
        "Route",
        "RouteSpec",
        error="Detail",
        names_route=True,
    ),
    "DeleteMlflowRoute": Operation(
        _MLFLOW, "Remove a route that the API created (admins)", "Json", error="Detail", names_route=True
    ),
    "QueryMlflowRoute": Operation(
        _MLFLOW, "Call a route (MLflow 2.5 to 2.8)", "Json", "Query", error="Detail", streams=True, names_route=True
    ),
    "ListMlflowEndpoints": Operation(
        _MLFLOW, "List your routes (MLflow 2.9 and later)", "EndpointList", error="Detail"
    ),
    "GetMlflowEndpoint": Operation(_MLFLOW, "Read one route", "Endpoint", error="Detail", names_route=True),
    "QueryMlflowEndpoint": Operation(
        _MLFLOW, "Call a route (MLflow 2.9 and later)", "Json", "Query", error="Detail", streams=True, names_route=True
    ),
    "GetMlflowTrafficRoute": Operation(
        _MLFLOW, "Read one route and the upstreams it is split over", "Json", error="Detail", names_route=True
    ),
    "GetMlflowLimits": Operation(
        _MLFLOW, "Read the rate limits of a route", "Limits", error="Detail", names_route=True
    ),
    "SetMlflowLimits": Operation(
        _MLFLOW, "Replace the rate limits of a route (admins)", "Limits", "Limits", error="Detail"
    ),
    "InvokeMlflow": Operation(
        _MLFLOW, "Call a route (MLflow 3.9 and later)", "Json", "Query", error="Detail", streams=True, names_route=True
    ),
    "Health": Operation("Health", "Say whether the gateway serves", "Health", public=True),
    # These explain what to use instead.
    "ConnectResponses": _PAGE,
    "CancelResponse": _PAGE,
    "CreateConversation": _PAGE,
    "OpenRoot": _PAGE,
    "GetHomeFile": _PAGE,
    "OpenDocs": _PAGE,
    "GetDocsFile": _PAGE,
    "GetOpenApi": _PAGE,
}

# Who may use each: by the task of routes, by role, by what the config allows.
_TASKS = {
    Task.CHAT: (
        *("ChatCompletions", "AzureChatCompletions", "CreateMessage", "CountMessageTokens", "CreateResponse"),
        *("CountResponseTokens", "CompactResponse", "GetResponse", "DeleteResponse", "ListResponseInputItems"),
    ),
    Task.COMPLETIONS: ("Completions", "AzureCompletions"),
    Task.EMBEDDINGS: ("Embeddings", "AzureEmbeddings"),
}
_MANAGING = ("CreateMlflowRoute", "UpdateMlflowRoute", "DeleteMlflowRoute")
_ADMIN = (*_MANAGING, "SetMlflowLimits")
_TASK_OF = {name: task for task, names in _TASKS.items() for name in names}

OPERATIONS: Mapping[str, Operation] = {
    name: replace(each, task=_TASK_OF.get(name), admin=name in _ADMIN, manages=name in _MANAGING)
    for name, each in _OPERATIONS.items()
}
