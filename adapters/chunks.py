"""The meaning of chunks in any format: semantic output, and the answer that they add up to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from adapters.usage import latest_usage
from sidecar.v1 import inference_pb2 as pb

# Members without a field that count as output. Others (token ids, the channel's name, empty lists) also come with
# role-only deltas.
_SPOKEN = (
    *(f'"{name}":' for name in ("audio", "content", "content_blocks", "content_block_deltas", "executed_tools")),
    *(f'"{name}":' for name in ("function_call", "images")),
    *(f'"{name}":[{{' for name in ("annotations", "reasoning_details")),
)


def has_output(chunk: Any) -> bool:
    """Whether a chunk contains what a caller is waiting for. Roles, empty deltas, usage alone and pings do not
    count."""
    for choice in chunk.choices:
        if choice.finish_reason:
            return True
        if isinstance(choice, pb.CompletionChoice):
            if choice.text:
                return True
            continue
        delta = choice.delta
        if (
            delta.content
            or delta.tool_calls
            or delta.refusal
            or delta.HasField("thinking")
            or (delta.extra_json and any(name in delta.extra_json for name in _SPOKEN))
        ):
            return True
    return False


def accumulate_chat(chunks: Iterable[pb.StreamChatResponse]) -> pb.ChatResponse:
    """Returns the answer that Chat would have given."""
    answer = pb.ChatResponse()
    choices: dict[int, pb.Choice] = {}
    for chunk in chunks:
        _take_head(answer, chunk)
        for piece in chunk.choices:
            choice = choices.get(piece.index)
            if choice is None:
                choice = choices[piece.index] = pb.Choice(index=piece.index)
                choice.message.role = pb.ROLE_ASSISTANT
            _extend(choice, piece)
    answer.choices.extend(choices[index] for index in sorted(choices))
    return answer


def accumulate_completion(chunks: Iterable[pb.StreamCompleteResponse]) -> pb.CompleteResponse:
    """Returns the answer that Complete would have given."""
    answer = pb.CompleteResponse()
    choices: dict[int, pb.CompletionChoice] = {}
    for chunk in chunks:
        _take_head(answer, chunk)
        for piece in chunk.choices:
            choice = choices.setdefault(piece.index, pb.CompletionChoice(index=piece.index))
            choice.text += piece.text
            _take_finish(choice, piece)
            if piece.HasField("logprobs_json"):
                choice.logprobs_json = joined_lists(choice.logprobs_json, piece.logprobs_json)
            if piece.HasField("extra_json"):
                choice.extra_json = joined_lists(choice.extra_json, piece.extra_json)
    answer.choices.extend(choices[index] for index in sorted(choices))
    return answer


def joined_lists(first: str, second: str) -> str:
    """Merges two JSON objects: lists (a completion's logprobs, citations) are concatenated, otherwise the later
    value wins."""
    if not first:
        return second
    out: dict[str, Any] = msgspec.json.decode(first)
    for name, more in msgspec.json.decode(second, type=dict[str, Any]).items():
        held = out.get(name)
        out[name] = held + more if isinstance(held, list) and isinstance(more, list) else more
    return msgspec.json.encode(out).decode()


def unnumbered(extra_json: str) -> str:
    """Removes the `index` that entries of these lists only have in deltas (adapters/delta_lists.py)."""
    members: dict[str, Any] = msgspec.json.decode(extra_json)
    for name in members.keys() & {"citations", "content_blocks", "content_block_deltas"}:
        for entry in members[name] if isinstance(members[name], list) else ():
            if isinstance(entry, dict):
                entry.pop("index", None)
    return msgspec.json.encode(members).decode()


def _take_head(answer: Any, chunk: Any) -> None:
    answer.id = answer.id or chunk.id
    answer.created = answer.created or chunk.created
    answer.model = answer.model or chunk.model
    if chunk.HasField("usage"):
        held = answer.usage if answer.HasField("usage") else None
        answer.usage.CopyFrom(latest_usage(held, chunk.usage))  # never added up
    for name in ("system_fingerprint", "service_tier", "extra_json"):
        if name in chunk.DESCRIPTOR.fields_by_name and chunk.HasField(name):
            setattr(answer, name, getattr(chunk, name))


def _take_finish(choice: Any, piece: Any) -> None:
    if piece.finish_reason:
        choice.finish_reason = piece.finish_reason
    if piece.native_finish_reason:
        choice.native_finish_reason = piece.native_finish_reason


def _extend(choice: pb.Choice, piece: pb.ChunkChoice) -> None:
    delta, message = piece.delta, choice.message
    if delta.role:
        message.role = delta.role
    if delta.HasField("thinking"):
        _extend_thinking(message, delta.thinking)
    if delta.content:
        _text_part(message, "text").text += delta.content
    if delta.refusal:
        _text_part(message, "refusal").refusal += delta.refusal
    for call in delta.tool_calls:
        _extend_call(message, call)
    if delta.HasField("extra_json"):
        message.extra_json = joined_lists(message.extra_json, unnumbered(delta.extra_json))
    if piece.HasField("logprobs"):
        choice.logprobs.content.extend(piece.logprobs.content)
        choice.logprobs.refusal.extend(piece.logprobs.refusal)
    if piece.HasField("extra_json"):
        choice.extra_json = piece.extra_json
    _take_finish(choice, piece)


def _text_part(message: pb.Message, kind: str) -> pb.ContentPart:
    for part in message.content:
        if part.WhichOneof("part") == kind:
            return part
    return message.content.add()


def _extend_thinking(message: pb.Message, delta: pb.ThinkingDelta) -> None:
    parts = [part for part in message.content if part.WhichOneof("part") == "thinking"]
    while len(parts) <= delta.index:
        part = pb.ContentPart(thinking=pb.Thinking())
        message.content.insert(len(parts), part)
        parts = [part for part in message.content if part.WhichOneof("part") == "thinking"]
    thinking = parts[delta.index].thinking
    thinking.text += delta.text
    for name in ("signature", "redacted", "native_name", "format"):
        if delta.HasField(name):
            setattr(thinking, name, getattr(delta, name))


def _extend_call(message: pb.Message, delta: pb.ToolCallDelta) -> None:
    while len(message.tool_calls) <= delta.index:
        message.tool_calls.add()
    call = message.tool_calls[delta.index]
    call.id = call.id or delta.id
    call.name = call.name or delta.name
    call.arguments_json += delta.arguments_json
    if delta.HasField("custom_input"):
        call.custom_input += delta.custom_input
    if delta.HasField("extra_json"):
        call.extra_json = delta.extra_json
