"""OpenAI's words for roles, finish reasons and usage, both ways."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._json import Obj
from sidecar.v1 import inference_pb2 as pb

ROLES = {
    "system": pb.ROLE_SYSTEM,
    "developer": pb.ROLE_DEVELOPER,
    "user": pb.ROLE_USER,
    "assistant": pb.ROLE_ASSISTANT,
    "tool": pb.ROLE_TOOL,
    "function": pb.ROLE_FUNCTION,
}
ROLE_WORDS = {role: word for word, role in ROLES.items()}

FINISH_REASONS = {
    "stop": pb.FINISH_REASON_STOP,
    "length": pb.FINISH_REASON_LENGTH,
    "tool_calls": pb.FINISH_REASON_TOOL_CALLS,
    "content_filter": pb.FINISH_REASON_CONTENT_FILTER,
    "function_call": pb.FINISH_REASON_FUNCTION_CALL,
}
FINISH_WORDS = {reason: word for word, reason in FINISH_REASONS.items()}


def read_finish(choice: Obj, into: Any) -> None:
    """Sets finish_reason and native_finish_reason of a choice or a piece of one."""
    word = choice.string("finish_reason")
    if word:
        into.native_finish_reason = word
        into.finish_reason = FINISH_REASONS.get(word, pb.FINISH_REASON_OTHER)


def finish_word(choice: Any) -> str | None:
    """OpenAI's word; for reasons it has no word for, the provider's own."""
    if not choice.finish_reason:
        return None
    return FINISH_WORDS.get(choice.finish_reason) or choice.native_finish_reason or "stop"


_COUNTS = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"), ("total_tokens", "total_tokens"))
_DETAILS = (
    ("prompt_tokens_details", "cached_tokens", "cached_input_tokens"),
    ("prompt_tokens_details", "cache_write_tokens", "cache_write_tokens"),
    ("completion_tokens_details", "reasoning_tokens", "reasoning_tokens"),
)


def read_usage(answer: Obj) -> pb.Usage | None:
    """The usage member; counts that are absent stay unset."""
    obj = answer.object("usage")
    if obj is None:
        return None
    usage = pb.Usage()
    for name, attribute in _COUNTS:
        value = obj.integer(name)
        if value is not None:
            setattr(usage, attribute, value)
    details = {name: obj.object(name) for name in dict.fromkeys(row[0] for row in _DETAILS)}
    for group, name, attribute in _DETAILS:
        inner = details[group]
        value = inner.integer(name) if inner is not None else None
        if value is not None:
            setattr(usage, attribute, value)
    if not usage.HasField("total_tokens") and usage.HasField("input_tokens") and usage.HasField("output_tokens"):
        usage.total_tokens = usage.input_tokens + usage.output_tokens
    for group, inner in details.items():
        if inner is not None and (rest := inner.extra()):
            obj.members[group] = msgspec.Raw(rest.encode())
    if rest := obj.extra():
        usage.extra_json = rest
    return usage


def write_usage(usage: pb.Usage) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if usage.HasField("extra_json"):
        out = msgspec.json.decode(usage.extra_json, type=dict[str, Any])
    for name, attribute in _COUNTS:
        if usage.HasField(attribute):  # type: ignore[arg-type]
            out[name] = getattr(usage, attribute)
    for group, name, attribute in _DETAILS:
        if usage.HasField(attribute):  # type: ignore[arg-type]
            out.setdefault(group, {})[name] = getattr(usage, attribute)
    return out
