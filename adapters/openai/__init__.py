"""OpenAI's HTTP API, both sides (https://platform.openai.com/docs/api-reference): chat, text completions,
embeddings.

The client side reads OpenAI SDKs; the provider side talks to OpenAI and every server with its format.
"""

from __future__ import annotations

from dataclasses import replace

from adapters.contract import ClientSide, Format, ProviderSide, Task
from adapters.members import CHAT, COMPLETIONS, EMBEDDINGS
from adapters.openai import chat_answer as _chat_answer
from adapters.openai import chat_request as _chat_request
from adapters.openai import completions as _completions
from adapters.openai import embeddings as _embeddings
from adapters.openai import plain_request as _plain_request
from adapters.openai.failure import error, in_band
from adapters.openai.finish_and_usage import finish_word, usage_of
from adapters.openai.message import write_answer_message
from adapters.openai.passthrough_answer import check_choices, check_vectors
from adapters.openai.passthrough_request import (
    encode_error,
    encode_stream_error,
    open_body,
    open_deployment_body,
    open_members,
    open_plain_body,
    patcher,
    read_streaming,
)
from adapters.openai.passthrough_stream import observe_chat, observe_completion
from adapters.openai.stream import ChatDecoder, CompletionDecoder

__all__ = [
    "DEPLOYMENTS",
    "FORMAT",
    "finish_word",
    "in_band",
    "open_members",
    "open_plain_body",
    "read_streaming",
    "usage_of",
    "write_answer_message",
]

_STREAM_END = b"data: [DONE]\n\n"

FORMAT = Format(
    name="openai",
    client={
        Task.CHAT: ClientSide(
            open_body,
            _chat_request.decode_request,
            _chat_answer.encode_response,
            _chat_answer.encode_chunk,
            _STREAM_END,
        ),
        Task.COMPLETIONS: ClientSide(
            open_body, _completions.decode_request, _completions.encode_response, _completions.encode_chunk, _STREAM_END
        ),
        Task.EMBEDDINGS: ClientSide(open_body, _embeddings.decode_request, _embeddings.encode_response, None),
    },
    provider={
        Task.CHAT: ProviderSide(
            encode=_plain_request.encode,
            decode=_chat_answer.decode,
            stream=ChatDecoder,
            observe=observe_chat,
            patch_for=patcher("/chat/completions", CHAT),
            check=check_choices,
        ),
        Task.COMPLETIONS: ProviderSide(
            encode=_completions.encode,
            decode=_completions.decode,
            stream=CompletionDecoder,
            observe=observe_completion,
            patch_for=patcher("/completions", COMPLETIONS),
            check=check_choices,
        ),
        Task.EMBEDDINGS: ProviderSide(
            encode=_embeddings.encode,
            decode=_embeddings.decode,
            stream=None,
            patch_for=patcher("/embeddings", EMBEDDINGS),
            check=check_vectors,
        ),
    },
    error=error,
    encode_error=encode_error,
    encode_stream_error=encode_stream_error,
    paths=("/chat/completions", "/completions", "/embeddings", "/responses"),
)
# The client side for Azure's SDKs, whose path names the route.
DEPLOYMENTS = {task: replace(side, open=open_deployment_body) for task, side in FORMAT.client.items()}
