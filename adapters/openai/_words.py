"""OpenAI's words for roles, finish reasons and usage, both ways."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._json import OBJECTS, Obj, of_answer
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
_DETAILS = {
    "prompt_tokens_details": (("cached_tokens", "cached_input_tokens"), ("cache_write_tokens", "cache_write_tokens")),
    "completion_tokens_details": (("reasoning_tokens", "reasoning_tokens"),),
}
_COUNT_MAX = 2**31 - 1
_COUNT_DIGITS_MAX = 10


def read_usage(answer: Obj) -> pb.Usage | None:
    """The usage member. It is bookkeeping, so a strange one never costs the caller the answer: see usage_of."""
    raw = answer.members.get("usage")
    if raw is None or bytes(raw)[:1] not in (b"{", b"n"):
        return None  # what is not an object stays with the answer's extra_json
    del answer.members["usage"]
    return usage_of(bytes(raw))


def usage_of(raw: bytes) -> pb.Usage | None:
    """Counts that are absent stay unset; what is no count of 0 or more stays in extra_json. None where nothing is said."""
    if not raw.startswith(b"{"):
        return None
    obj = Obj(raw, "usage", of_answer)
    usage = pb.Usage()
    for name, attribute in _COUNTS:
        _take_count(obj, name, usage, attribute)
    for group, rows in _DETAILS.items():
        if bytes(obj.members.get(group, b"")).startswith(b"{"):
            inner = Obj(obj.members.pop(group), group, of_answer)
            for name, attribute in rows:
                _take_count(inner, name, usage, attribute)
            if rest := inner.extra():
                obj.members[group] = msgspec.Raw(rest.encode())
    if not usage.HasField("total_tokens") and usage.HasField("input_tokens") and usage.HasField("output_tokens"):
        usage.total_tokens = min(usage.input_tokens + usage.output_tokens, _COUNT_MAX)
    if rest := obj.extra():
        usage.extra_json = rest
    return usage if usage.ListFields() else None


def _take_count(obj: Obj, name: str, usage: pb.Usage, attribute: str) -> None:
    raw = bytes(obj.members.get(name, b""))
    if raw.isdigit() and len(raw) <= _COUNT_DIGITS_MAX and int(raw) <= _COUNT_MAX:
        setattr(usage, attribute, int(raw))
        del obj.members[name]


def write_usage(usage: pb.Usage) -> dict[str, Any]:
    out: dict[str, Any] = dict(OBJECTS.decode(usage.extra_json)) if usage.HasField("extra_json") else {}
    fields = {field.name: value for field, value in usage.ListFields()}
    for name, attribute in _COUNTS:
        if attribute in fields:
            out[name] = fields[attribute]
    for group, rows in _DETAILS.items():
        known = {name: fields[attribute] for name, attribute in rows if attribute in fields}
        if known:
            raw = out.get(group)
            out[group] = known if raw is None or not bytes(raw).startswith(b"{") else {**OBJECTS.decode(raw), **known}
    return out
