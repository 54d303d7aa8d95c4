"""Reads messages of the typed service into values: the same as json_values.py reads from REST's JSON."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from llm_gateway_client.errors import BadAnswer
from llm_gateway_client.message_json import (
    chat_json,
    chunk_json,
    completion_json,
    embeddings_json,
    finish_word,
    head_json,
    role_word,
    service_tier,
    usage_json,
)
from llm_gateway_client.thought_details import delta_details, kept_details, message_details
from llm_gateway_client.v1 import inference_pb2 as pb
from llm_gateway_client.v1 import routes_pb2
from llm_gateway_client.values import (
    ChatChunk,
    ChatResponse,
    Choice,
    ChunkChoice,
    CompletionChoice,
    CompletionResponse,
    Delta,
    Embedding,
    EmbedResponse,
    Json,
    Limits,
    Logprobs,
    Message,
    Model,
    RateLimit,
    Route,
    RoutePage,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)

_COUNTS = frozenset(field.name for field in fields(Usage))
_TASK = "TASK_"
_UNIT = "LIMIT_UNIT_"


def chat_of(answer: pb.ChatResponse) -> ChatResponse:
    choices = tuple(
        Choice(each.index, _message(each.message), finish_word(each), _logprobs(each)) for each in answer.choices
    )
    fingerprint, tier = _optional(answer, "system_fingerprint"), service_tier(answer)
    return ChatResponse(
        *_head(answer), choices, _usage(answer), fingerprint, tier, tuple(answer.left_out), chat_json(answer)
    )


def chat_chunks_of(chunk: pb.StreamChatResponse) -> list[ChatChunk]:
    """The pieces, then the usage in a separate chunk, as OpenAI streams them. Empty for a message without either."""
    found = []
    if chunk.choices or chunk.extra_json:
        choices = tuple(
            ChunkChoice(each.index, _delta(each.delta), finish_word(each), _logprobs(each)) for each in chunk.choices
        )
        found.append(ChatChunk(*_head(chunk), choices, None, tuple(chunk.left_out), chunk_json(chunk)))
    if chunk.HasField("usage"):
        found.append(ChatChunk(*_head(chunk), (), _usage(chunk), raw=_usage_chunk(chunk, "chat.completion.chunk")))
    return found


def completion_of(answer: pb.CompleteResponse) -> CompletionResponse:
    fingerprint = _optional(answer, "system_fingerprint")
    return CompletionResponse(
        *_head(answer), _continuations(answer), _usage(answer), fingerprint, completion_json(answer)
    )


def completion_chunks_of(chunk: pb.StreamCompleteResponse) -> list[CompletionResponse]:
    """Like chat_chunks_of."""
    found = []
    fingerprint = _optional(chunk, "system_fingerprint")
    if chunk.choices or chunk.extra_json:
        raw = completion_json(chunk, with_usage=False)
        found.append(CompletionResponse(*_head(chunk), _continuations(chunk), None, fingerprint, raw))
    if chunk.HasField("usage"):
        raw = _usage_chunk(chunk, "text_completion")
        found.append(CompletionResponse(*_head(chunk), (), _usage(chunk), fingerprint, raw))
    return found


def embeddings_of(answer: pb.EmbedResponse) -> EmbedResponse:
    """Raises BadAnswer for bytes that are not a vector."""
    vectors = tuple(Embedding(each.index, _vector(each)) for each in answer.embeddings)
    return EmbedResponse(answer.model, vectors, _usage(answer), embeddings_json(answer))


def route_of(route: routes_pb2.Route) -> Route:
    task = routes_pb2.Task.Name(route.task).removeprefix(_TASK).lower()
    return Route(route.name, task, Model(route.model.provider, route.model.name), route.etag)


def routes_of(answer: routes_pb2.ListRoutesResponse) -> RoutePage:
    return RoutePage(tuple(route_of(each) for each in answer.routes), answer.next_page_token)


def limits_of(answer: routes_pb2.GetLimitsResponse | routes_pb2.SetLimitsResponse) -> Limits:
    limits = (
        RateLimit(
            routes_pb2.LimitUnit.Name(each.unit).removeprefix(_UNIT).lower(),
            each.count,
            each.per_seconds,
            each.each_consumer,
        )
        for each in answer.limits
    )
    return Limits(limits, answer.etag)


def _head(answer: Any) -> tuple[str, int, str]:
    return answer.id, answer.created, answer.model


def _usage_chunk(chunk: Any, object_: str) -> dict[str, Any]:
    return {**head_json(chunk, object_), "choices": [], "usage": usage_json(chunk.usage)}


def _optional(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _message(message: pb.Message) -> Message:
    texts = _parts(message, "text", lambda part: part.text)
    refusals = _parts(message, "refusal", lambda part: part.refusal)
    thoughts = [text for text in _parts(message, "thinking", lambda part: part.thinking.text) if text]
    return Message(
        role=role_word(message.role),
        content="".join(texts) if texts else None,
        refusal="".join(refusals) if refusals else None,
        reasoning="".join(thoughts) if thoughts else None,
        tool_calls=tuple(_call(each) for each in message.tool_calls),
        reasoning_details=tuple(message_details(message) or kept_details(message.extra_json)),
    )


def _parts(message: pb.Message, kind: str, read: Callable[[pb.ContentPart], str]) -> list[str]:
    return [read(part) for part in message.content if part.WhichOneof("part") == kind]


def _call(call: pb.ToolCall) -> ToolCall:
    if call.HasField("custom_input"):
        return ToolCall(call.id, call.name, "", call.custom_input)
    return ToolCall(call.id, call.name, call.arguments_json or "{}")


def _delta(delta: pb.Delta) -> Delta:
    return Delta(
        role=role_word(delta.role) if delta.role else None,
        content=delta.content if delta.role or delta.content else None,
        refusal=delta.refusal or None,
        reasoning=delta.thinking.text or None,
        tool_calls=tuple(
            ToolCallDelta(
                each.index, each.id or None, each.name or None, each.arguments_json, _optional(each, "custom_input")
            )
            for each in delta.tool_calls
        ),
        reasoning_details=tuple(delta_details(delta) or kept_details(delta.extra_json)),
    )


def _logprobs(choice: pb.Choice | pb.ChunkChoice) -> Logprobs | None:
    if not choice.HasField("logprobs"):
        return None
    return Logprobs(_tokens(choice.logprobs.content), _tokens(choice.logprobs.refusal))


def _tokens(rows: Iterable[pb.TokenLogprob]) -> tuple[TokenLogprob, ...]:
    return tuple(TokenLogprob(row.token, row.logprob, _optional(row, "utf8"), _tokens(row.top)) for row in rows)


def _continuations(answer: pb.CompleteResponse | pb.StreamCompleteResponse) -> tuple[CompletionChoice, ...]:
    return tuple(
        CompletionChoice(each.index, each.text, finish_word(each), _object(each.logprobs_json))
        for each in answer.choices
    )


def _object(text: str) -> Json | None:
    value = json.loads(text) if text else None
    return value if isinstance(value, dict) else None


def _usage(answer: Any) -> Usage | None:
    """The counts have the same names in both."""
    if not answer.HasField("usage"):
        return None
    counts = {field.name: value for field, value in answer.usage.ListFields() if field.name in _COUNTS}
    if isinstance(answer, pb.EmbedResponse) and answer.usage.HasField("input_tokens"):  # usage consists of the input
        counts.setdefault("total_tokens", answer.usage.input_tokens)
    return Usage(**counts)


def _vector(each: pb.Embedding) -> tuple[float, ...]:
    if each.WhichOneof("vector") != "packed":
        return tuple(each.values.values)
    if len(each.packed) % 4:
        raise BadAnswer("The gateway's answer holds what is no vector.")
    return struct.unpack(f"<{len(each.packed) // 4}f", each.packed)
