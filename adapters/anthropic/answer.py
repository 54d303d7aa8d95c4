"""What unary and streamed answers share: stop reasons, usage, unknown members."""

from __future__ import annotations

from adapters.errors import GatewayError, Kind
from adapters.json_object import object_text
from adapters.usage import COUNT_MAX, Members, cost_of, count_of, members_of, settle
from sidecar.v1 import inference_pb2 as pb

# https://docs.anthropic.com/en/api/messages, stop_reason. Unknown words become OTHER.
FINISH_REASONS = {
    "end_turn": pb.FINISH_REASON_STOP,
    "stop_sequence": pb.FINISH_REASON_STOP,
    "max_tokens": pb.FINISH_REASON_LENGTH,
    "model_context_window_exceeded": pb.FINISH_REASON_LENGTH,
    "tool_use": pb.FINISH_REASON_TOOL_CALLS,
    "refusal": pb.FINISH_REASON_CONTENT_FILTER,
    "pause_turn": pb.FINISH_REASON_OTHER,
}

_COUNTS = frozenset(
    {"input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "service_tier"}
)


def finish_reason(native: str, *, answered: bool = False) -> pb.FinishReason:
    """`answered`: the gateway's own tool gave the answer (json_answer), so the caller has no tool to run."""
    if native == "tool_use" and answered:
        return pb.FINISH_REASON_STOP
    return FINISH_REASONS.get(native, pb.FINISH_REASON_OTHER) if native else pb.FINISH_REASON_UNSPECIFIED


def usage_of(members: Members) -> pb.Usage | None:
    """Anthropic's input_tokens excludes cached tokens; ours includes them. None if there are no counts."""
    fresh, output = count_of(members.get("input_tokens")), count_of(members.get("output_tokens"))
    if fresh is None and output is None:
        return None
    read = count_of(members.get("cache_read_input_tokens"))
    written, hour = _written(members)
    thought = count_of(members_of(members.get("output_tokens_details")).get("thinking_tokens"))
    usage = pb.Usage(
        output_tokens=output,
        cached_input_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
        reasoning_tokens=thought,
        provider_cost_micro_dollars=cost_of(members),
    )
    if fresh is not None:
        usage.input_tokens = min(fresh + (read or 0) + (written or 0), COUNT_MAX)
    settle(usage)
    if extra := object_text({name: raw for name, raw in members.items() if name not in _COUNTS}):
        usage.extra_json = extra
    return usage


def _written(members: Members) -> tuple[int | None, int | None]:
    """Tokens written to the cache, and how many of those are kept for an hour."""
    by_age = members_of(members.get("cache_creation"))
    hour, minutes = (count_of(by_age.get(f"ephemeral_{age}_input_tokens")) for age in ("1h", "5m"))
    written = count_of(members.get("cache_creation_input_tokens"))
    if hour is not None or minutes is not None:
        written = min(max(written or 0, (hour or 0) + (minutes or 0)), COUNT_MAX)
    return written, hour


def untyped_block() -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider sent a content block without a type.")
