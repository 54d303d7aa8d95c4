"""Cohere's API, provider side (https://docs.cohere.com/reference): version 2 (chat and embeddings), and version 1
for deployments that still run it (chat, /generate, embeddings).

Version 2 has no text completions: they become a chat with one user message (adapters/completions_by_chat.py).
"""

from __future__ import annotations

from adapters.cohere import chat_answer as _chat_answer
from adapters.cohere import chat_request as _chat_request
from adapters.cohere import stream as _stream
from adapters.cohere import v1_chat as _v1_chat
from adapters.cohere import v1_generate as _v1_generate
from adapters.cohere.embed import embed_side
from adapters.cohere.failure import error
from adapters.contract import Format, ProviderSide, Task
from adapters.ndjson import Lines

# Of both versions: `cohere_api_version` may contradict a copied URL.
_PATHS = ("/v2/chat", "/v2/embed", "/v1/chat", "/v1/embed", "/v1/generate")
FORMAT = Format(
    name="cohere",
    client={},
    provider={
        Task.CHAT: ProviderSide(_chat_request.encode, _chat_answer.decode, _stream.ChatDecoder),
        Task.EMBEDDINGS: embed_side("/v2/embed"),
    },
    error=error,
    paths=_PATHS,
)
FORMAT_V1 = Format(
    name="cohere-v1",
    client={},
    provider={
        Task.CHAT: ProviderSide(_v1_chat.encode, _v1_chat.decode, _v1_chat.ChatDecoder, framing=Lines),
        Task.COMPLETIONS: ProviderSide(
            _v1_generate.encode, _v1_generate.decode, _v1_generate.CompletionDecoder, framing=Lines
        ),
        Task.EMBEDDINGS: embed_side("/v1/embed"),
    },
    error=error,
    paths=_PATHS,
)
