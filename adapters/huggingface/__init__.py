"""Hugging Face's own servers, provider side.

Text Generation Inference (https://huggingface.co/docs/text-generation-inference): chat uses its Messages API, which
speaks OpenAI's format and knows the model's chat template; text completions use /generate and /generate_stream.

Text Embeddings Inference (https://huggingface.co/docs/text-embeddings-inference): embeddings, see `embed`. The tasks
of a provider's row determine which of the two it is. The inference router is a plain row of OpenAI's format.
"""

from __future__ import annotations

from adapters.contract import Format, ProviderSide, Task
from adapters.huggingface import chat as _chat
from adapters.huggingface import embed as _embed
from adapters.huggingface import generate as _generate
from adapters.huggingface.failure import error
from adapters.huggingface.stream import CompletionDecoder

FORMAT = Format(
    name="huggingface",
    client={},
    provider={
        Task.CHAT: _chat.SIDE,
        Task.COMPLETIONS: ProviderSide(_generate.encode, _generate.decode, CompletionDecoder),
        Task.EMBEDDINGS: ProviderSide(_embed.encode, _embed.decode, None),
    },
    error=error,
    paths=("/chat/completions", "/completions", "/embeddings", "/generate_stream", "/generate", "/embed"),
)
