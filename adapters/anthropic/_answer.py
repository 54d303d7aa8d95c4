"""What unary and streamed answers share: stop reasons, usage, members beyond the named ones."""

from __future__ import annotations

import msgspec

from adapters.anthropic._json import Members, Raw, count, inner, member, rest, string
from sidecar.v1 import inference_pb2 as pb

# https://docs.anthropic.com/en/api/messages, stop_reason. A word that is not here becomes OTHER.
FINISH_REASONS = {
    "end_turn": pb.FINISH_REASON_STOP,
    "stop_sequence": pb.FINISH_REASON_STOP,
    "max_tokens": pb.FINISH_REASON_LENGTH,
    "model_context_window_exceeded": pb.FINISH_REASON_LENGTH,
    "tool_use": pb.FINISH_REASON_TOOL_CALLS,
    "refusal": pb.FINISH_REASON_CONTENT_FILTER,
    "pause_turn": pb.FINISH_REASON_OTHER,
}

# Members of a message that have a field, or say nothing ("type" and "role" are always the same). Others go to extra_json:
# stop_sequence (which one was met), stop_details, container, context_management.
MESSAGE = frozenset({"id", "type", "role", "model", "content", "stop_reason", "usage"})
TEXT = frozenset({"type", "text"})
THINKING = frozenset({"type", "thinking", "signature"})
REDACTED = frozenset({"type", "data"})
TOOL_USE = frozenset({"type", "id", "name", "input"})
_COUNTS = frozenset(
    {"input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "service_tier"}
)


def finish_reason(native: str) -> pb.FinishReason:
    return FINISH_REASONS.get(native, pb.FINISH_REASON_OTHER) if native else pb.FINISH_REASON_UNSPECIFIED


def usage_of(members: Members) -> pb.Usage | None:
    """Anthropic's input_tokens leaves the cached tokens out; ours contains them. None where there are no counts."""
    fresh, output = count(members, "input_tokens"), count(members, "output_tokens")
    read, written = count(members, "cache_read_input_tokens"), count(members, "cache_creation_input_tokens")
    if fresh is None and output is None:
        return None
    usage = pb.Usage(output_tokens=output, cached_input_tokens=read, cache_write_tokens=written)
    usage.extra_json = rest(members, _COUNTS) or ""
    if not usage.extra_json:
        usage.ClearField("extra_json")
    if fresh is not None:
        usage.input_tokens = _bounded(fresh + (read or 0) + (written or 0))
        if output is not None:
            usage.total_tokens = _bounded(usage.input_tokens + output)
    thinking = count(inner(members, "output_tokens_details"), "thinking_tokens")
    if thinking is not None:
        usage.reasoning_tokens = thinking
    return usage


def arguments_of(raw: Raw | None) -> str:
    """A tool call's input as the model wrote it, "{}" for none."""
    return "{}" if raw is None else bytes(raw).decode()


def service_tier(usage: Members) -> str | None:
    """The tier stands in usage; the canonical answer has it at the top."""
    return string(usage, "service_tier") or None


def joined(*members: Members) -> str | None:
    """Members of several objects as the text of one; the later one wins. None where there are none."""
    together: Members = {}
    for one in members:
        together |= {name: raw for name, raw in one.items() if member(one, name) is not None}
    return msgspec.json.encode(together).decode() if together else None


def _bounded(value: int) -> int:
    return min(value, 2**31 - 1)
