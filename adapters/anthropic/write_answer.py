"""Encodes a canonical answer as a message of the Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.anthropic.seal import sealed
from adapters.contract import Context, Envelope
from adapters.json_object import ARRAYS, OBJECTS, beneath
from adapters.other_members import other_members
from adapters.tool_arguments import as_object
from adapters.tool_names import has_long_names, own_names
from sidecar.v1 import inference_pb2 as pb

_STOP_REASONS = {
    pb.FINISH_REASON_LENGTH: "max_tokens",
    pb.FINISH_REASON_TOOL_CALLS: "tool_use",
    pb.FINISH_REASON_FUNCTION_CALL: "tool_use",
    pb.FINISH_REASON_CONTENT_FILTER: "refusal",
}
# What chat completions call blocks of a provider's own tools.
IN_BLOCKS = ("content_blocks",)
_TIERS = {"priority": "priority", "batch": "batch"}


def encode_response(answer: pb.ChatResponse) -> bytes:
    """The body, for a caller whose request is not available."""
    return _encoded(answer, {})


def encode_answer(envelope: Envelope, answer: pb.ChatResponse, context: Context) -> bytes:
    """The body, with the caller's own names of its tools."""
    return _encoded(answer, callers_names(envelope))


def callers_names(envelope: Envelope) -> Mapping[str, str]:
    """The caller's names of tools whose names were too long for a provider."""
    tools = envelope.members.get("tools")
    if tools is None or not has_long_names(tools):
        return {}
    return own_names(_name_in(tool) for tool in ARRAYS.decode(tools))


def _name_in(tool: msgspec.Raw) -> str:
    """The name of a tool that has already been validated."""
    return str(msgspec.json.decode(OBJECTS.decode(tool).get("name", b'""')))


def _encoded(answer: pb.ChatResponse, names: Mapping[str, str]) -> bytes:
    """The format has a single choice: the first one."""
    choice = answer.choices[0] if answer.choices else pb.Choice()
    blocks = [block for part in choice.message.content if (block := _block(part)) is not None]
    blocks += [_tool_use(call, names) for call in choice.message.tool_calls]
    refused = any(part.refusal for part in choice.message.content)
    called = bool(choice.message.tool_calls)
    out = {
        **head(answer),
        "content": blocks,
        "stop_reason": stop_reason(choice.finish_reason, called=called, refused=refused),
        "stop_sequence": None,
        "usage": usage(answer.usage, answer.service_tier),
    }
    return msgspec.json.encode(beneath(out, other_members(choice.message, *IN_BLOCKS)))


def head(answer: Any) -> dict[str, Any]:
    """The beginning of a message."""
    return {"id": answer.id, "type": "message", "role": "assistant", "model": answer.model}


def stop_reason(finish: Any, *, called: bool, refused: bool) -> str:
    """OpenAI reports `stop` after a call that it was forced to make; clients of this format only act on tool_use."""
    found: str | None = _STOP_REASONS.get(finish)
    if found is not None:
        return found
    if called:
        return "tool_use"
    return "refusal" if refused else "end_turn"


def usage(counts: pb.Usage, tier: str = "") -> dict[str, Any]:
    """Always complete, because clients fail without the member. input_tokens excludes cached tokens in this format.
    Unreported counts are 0."""
    cached, written = counts.cached_input_tokens, counts.cache_write_tokens
    found: dict[str, Any] = {
        "input_tokens": max(0, counts.input_tokens - cached - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": counts.output_tokens,
    }
    if counts.HasField("cache_write_1h_tokens"):
        hour = counts.cache_write_1h_tokens
        found["cache_creation"] = {
            "ephemeral_1h_input_tokens": hour,
            "ephemeral_5m_input_tokens": max(0, written - hour),
        }
    if counts.HasField("reasoning_tokens"):
        found["output_tokens_details"] = {"thinking_tokens": counts.reasoning_tokens}
    if tier:
        found["service_tier"] = _TIERS.get(tier, "standard")
    return found


def _block(part: pb.ContentPart) -> Any | None:
    match part.WhichOneof("part"):
        case "text":
            return {"type": "text", "text": part.text}
        case "refusal":
            return {"type": "text", "text": part.refusal}
        case "thinking" if part.thinking.HasField("redacted") and not part.thinking.text:
            return {"type": "redacted_thinking", "data": sealed(part.thinking)}
        case "thinking":
            return {"type": "thinking", "thinking": part.thinking.text, "signature": sealed(part.thinking)}
        case "other_json":
            return msgspec.Raw(part.other_json.encode())
        case _:
            return None  # no chat provider answers with images or sound that callers of this format could read


def _tool_use(call: pb.ToolCall, names: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": names.get(call.name, call.name), "input": _input(call)}


def _input(call: pb.ToolCall) -> Any:
    """Always an object. Anything else that a model wrote (truncated, a text, a list) becomes the value of a member
    that no tool has."""
    if call.HasField("custom_input"):
        return {"input": call.custom_input}
    return msgspec.Raw(as_object(call.arguments_json)[0].encode("utf-8", "replace"))
