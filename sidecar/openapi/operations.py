"""What each RPC of RestService is to somebody who reads the page. A test keeps it complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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


_OPENAI = "OpenAI's API"
_ANTHROPIC = "Anthropic's API"
_MLFLOW = "MLflow"
_AZURE = "Azure's paths"
_PAGE = Operation(None, "The page", "Json")

OPERATIONS: Mapping[str, Operation] = {
    "ChatCompletions": Operation(_OPENAI, "Chat", "ChatResponse", "ChatRequest", streams=True),
    "Completions": Operation(_OPENAI, "Complete a text", "CompletionResponse", "CompletionRequest", streams=True),
    "Embeddings": Operation(_OPENAI, "Embed texts", "EmbeddingResponse", "EmbeddingRequest"),
    "AzureChatCompletions": Operation(_AZURE, "Chat", "ChatResponse", "ChatQuery", streams=True, names_route=True),
    "AzureCompletions": Operation(
        _AZURE, "Complete a text", "CompletionResponse", "CompletionQuery", streams=True, names_route=True
    ),
    "AzureEmbeddings": Operation(_AZURE, "Embed texts", "EmbeddingResponse", "EmbeddingQuery", names_route=True),
    "CreateMessage": Operation(
        _ANTHROPIC, "Chat, as Messages", "MessagesResponse", "MessagesRequest", error="AnthropicError", streams=True
    ),
    "CreateResponse": Operation(_OPENAI, "Chat, as Responses", "ResponsesResponse", "ResponsesRequest", streams=True),
    "CountResponseTokens": Operation(
        _OPENAI, "Count the tokens of a request", "ResponseTokenCount", "ResponsesRequest"
    ),
    "CompactResponse": Operation(_OPENAI, "Make a conversation shorter (OpenAI's models)", "Json", "ResponsesRequest"),
    "GetResponse": Operation(_OPENAI, "An answer that is remembered", "ResponsesResponse"),
    "DeleteResponse": Operation(_OPENAI, "Forget an answer", "DeletedResponse"),
    "ListResponseInputItems": Operation(_OPENAI, "What the model was given for an answer", "ResponseItemList"),
    "CountMessageTokens": Operation(
        _ANTHROPIC, "Count the tokens of a message", "TokenCount", "MessagesRequest", error="AnthropicError"
    ),
    "ListModels": Operation(_OPENAI, "Your routes, as models", "ModelList"),
    "GetModel": Operation(_OPENAI, "One route, as a model", "Model", names_route=True),
    "ListMlflowRoutes": Operation(_MLFLOW, "Your routes (MLflow 2.5 to 2.8)", "RouteList", error="Detail"),
    "CreateMlflowRoute": Operation(_MLFLOW, "Make a route (admins)", "Route", "RouteSpec", error="Detail"),
    "GetMlflowRoute": Operation(_MLFLOW, "One route", "Route", error="Detail", names_route=True),
    "UpdateMlflowRoute": Operation(
        _MLFLOW,
        "Replace a route that was made by a call (admins)",
        "Route",
        "RouteSpec",
        error="Detail",
        names_route=True,
    ),
    "DeleteMlflowRoute": Operation(_MLFLOW, "Remove a route (admins)", "Json", error="Detail", names_route=True),
    "QueryMlflowRoute": Operation(
        _MLFLOW, "Call a route (MLflow 2.5 to 2.8)", "Json", "Query", error="Detail", streams=True, names_route=True
    ),
    "ListMlflowEndpoints": Operation(_MLFLOW, "Your routes (MLflow 2.9 and later)", "EndpointList", error="Detail"),
    "GetMlflowEndpoint": Operation(_MLFLOW, "One route", "Endpoint", error="Detail", names_route=True),
    "QueryMlflowEndpoint": Operation(
        _MLFLOW, "Call a route (MLflow 2.9 and later)", "Json", "Query", error="Detail", streams=True, names_route=True
    ),
    "GetMlflowTrafficRoute": Operation(
        _MLFLOW, "One route and the upstreams it is split over", "Json", error="Detail", names_route=True
    ),
    "GetMlflowLimits": Operation(_MLFLOW, "A route's rate limits", "Limits", error="Detail", names_route=True),
    "SetMlflowLimits": Operation(_MLFLOW, "Change them (admins)", "Limits", "Limits", error="Detail"),
    "InvokeMlflow": Operation(
        _MLFLOW, "Call a route (MLflow 3.9 and later)", "Json", "Query", error="Detail", streams=True, names_route=True
    ),
    "Health": Operation("Health", "Whether the gateway serves", "Health", public=True),
    "ConnectResponses": _PAGE,
    "OpenRoot": _PAGE,
    "GetHomeFile": _PAGE,
    "OpenDocs": _PAGE,
    "GetDocsFile": _PAGE,
    "GetOpenApi": _PAGE,
}
