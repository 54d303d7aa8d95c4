"""Cohere's API, provider side (https://docs.cohere.com/reference): version 2 (chat and embeddings), and version 1 for those who
still run it (chat, /generate, embeddings).

Version 2 has no text completions: they go to its chat as one user message (adapters/_completions_by_chat.py).
"""

from __future__ import annotations

from adapters._contract import Format, ProviderSide, Task
from adapters._ndjson import Lines
from adapters.cohere import _chat_answer, _chat_request, _stream, _v1_chat, _v1_generate
from adapters.cohere._embed import embed_side
from adapters.cohere._failure import error

FORMAT = Format(
    name="cohere",
    client={},
    provider={
        Task.CHAT: ProviderSide(_chat_request.encode, _chat_answer.decode, _stream.ChatDecoder),
        Task.EMBEDDINGS: embed_side("/v2/embed"),
    },
    error=error,
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
)
