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
_PAGE = Operation(None, "The page", "Json")

OPERATIONS: Mapping[str, Operation] = {
    "ChatCompletions": Operation(_OPENAI, "Chat", "ChatResponse", "ChatRequest", streams=True),
    "Completions": Operation(_OPENAI, "Complete a text", "CompletionResponse", "CompletionRequest", streams=True),
    "Embeddings": Operation(_OPENAI, "Embed texts", "EmbeddingResponse", "EmbeddingRequest"),
    "ListModels": Operation(_OPENAI, "Your routes, as models", "ModelList"),
    "GetModel": Operation(_OPENAI, "One route, as a model", "Model", names_route=True),
    "Health": Operation("Health", "Whether the gateway serves", "Health", public=True),
}
