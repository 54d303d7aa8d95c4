"""OpenAI's roles, finish reasons and usage, both directions."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.json_object import OBJECTS, Obj, object_text
from adapters.openai.plain_usage import plain_usage
from adapters.usage import (
    COUNT_MAX,
    Members,
    cost_of,
    count_of,
    largest,
    members_of,
    settle,
    settle_vectors,
)
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
# The words of OpenAI-compatible servers, in lower case: Mistral, Together, tokens of vLLM and TGI, proxies of
# Gemini, Cohere and Anthropic.
_OTHER_FINISHES = {
    **dict.fromkeys(
        ("eos", "eos_token", "end_turn", "stop_sequence", "complete", "end", "finished"), pb.FINISH_REASON_STOP
    ),
    **dict.fromkeys(("model_length", "max_tokens", "max_length", "error_limit"), pb.FINISH_REASON_LENGTH),
    **dict.fromkeys(("tool_use", "tool_call"), pb.FINISH_REASON_TOOL_CALLS),
    **dict.fromkeys(("safety", "refusal", "recitation", "error_toxic", "sensitive"), pb.FINISH_REASON_CONTENT_FILTER),
}


def read_finish(choice: Obj, into: Any) -> None:
    """Sets finish_reason and native_finish_reason of a choice or a piece of one."""
    set_finish(choice.string("finish_reason"), into)


def set_finish(word: str | None, into: Any) -> None:
    if word:
        into.native_finish_reason = word
        known = FINISH_REASONS.get(word) or _OTHER_FINISHES.get(word.lower())
        into.finish_reason = known or pb.FINISH_REASON_OTHER


def finish_word(choice: Any) -> str | None:
    """OpenAI's word. Reasons without one become "stop", because strict clients refuse others: see write_finish."""
    return FINISH_WORDS.get(choice.finish_reason, "stop") if choice.finish_reason else None


def write_finish(choice: Any, out: dict[str, Any]) -> dict[str, Any]:
    """Writes `finish_reason` of a choice or a piece, and the provider's word if OpenAI has none."""
    out["finish_reason"] = finish_word(choice)
    if choice.finish_reason == pb.FINISH_REASON_OTHER and choice.native_finish_reason:
        out["native_finish_reason"] = choice.native_finish_reason
    return out


_COUNTS = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"), ("total_tokens", "total_tokens"))
_DETAILS = {
    "prompt_tokens_details": (("cached_tokens", "cached_input_tokens"), ("cache_write_tokens", "cache_write_tokens")),
    "completion_tokens_details": (("reasoning_tokens", "reasoning_tokens"),),
}
# The same under other names. They are read, but also stay in extra_json for clients that know those names.
_OTHER_COUNTS = (("input_tokens", "input_tokens"), ("output_tokens", "output_tokens"))
_PARTS_OF = (
    # Writer and Mistral omit an "s"; the last two are the Responses API's.
    ("prompt_token_details", "completion_token_details"),
    ("input_tokens_details", "output_tokens_details"),
)
_CACHED = (
    "cached_tokens",  # Moonshot, Together, Hugging Face: not in a separate object
    "num_cached_tokens",  # Mistral
    "prompt_cache_hit_tokens",  # DeepSeek
    "cache_read_input_tokens",  # Databricks, LiteLLM
)
_WRITTEN = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
_REASONING = ("reasoning_tokens", "thinking_tokens")  # Perplexity, SGLang
_FIVE_MINUTES, _HOUR = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"


def read_usage(answer: Obj, *, vectors: bool = False) -> pb.Usage | None:
    """Reads the usage member. Usage is bookkeeping, so an invalid one never fails the answer: see usage_of."""
    raw = answer.members.get("usage")
    if raw is None or bytes(raw)[:1] not in (b"{", b"n"):
        return None  # anything but an object stays in the answer's extra_json
    del answer.members["usage"]
    return usage_of(bytes(raw), vectors=vectors)


def usage_of(raw: bytes, *, vectors: bool = False) -> pb.Usage | None:
    """Reads the counts of an answer, or of embeddings (`vectors`), and makes them consistent
    (adapters.usage.settle). Invalid counts stay in extra_json. None if there is nothing."""
    plain = None if vectors else plain_usage(raw)
    return any_usage(raw, vectors=vectors) if plain is None else plain


def any_usage(raw: bytes, *, vectors: bool = False) -> pb.Usage | None:
    """`usage_of` for any spelling, however rare."""
    members = dict(members_of(raw))
    usage = pb.Usage()
    _read_other_names(members, usage)
    for name, attribute in _COUNTS:
        _take_count(members, name, usage, attribute)
    for group, rows in _DETAILS.items():
        if inner := dict(members_of(members.get(group))):
            for name, attribute in rows:
                _take_count(inner, name, usage, attribute)
            del members[group]
            if rest := object_text(inner):
                members[group] = msgspec.Raw(rest.encode())
    if vectors:
        settle_vectors(usage)
    else:
        _count_separate_cache(members, usage)
        settle(usage)
    if rest := object_text(members):
        usage.extra_json = rest
    return usage if usage.ListFields() else None


def _read_other_names(members: Members, usage: pb.Usage) -> None:
    for name, attribute in _OTHER_COUNTS:
        _set_count(usage, attribute, count_of(members.get(name)))
    if (cost := cost_of(members)) is not None:
        usage.provider_cost_micro_dollars = cost
    in_prompt, in_answer = [members], [members]
    for first, second in (("prompt_tokens_details", "completion_tokens_details"), *_PARTS_OF):
        in_prompt.append(members_of(members.get(first)))
        in_answer.append(members_of(members.get(second)))
    for each in in_prompt:
        _set_count(usage, "cached_input_tokens", largest(each, _CACHED))
        _set_count(usage, "cache_write_tokens", largest(each, _WRITTEN))
        for group in ("cache_creation", "cache_creation_token_details"):
            by_age = members_of(each.get(group))
            hour = count_of(by_age.get(_HOUR))
            _set_count(usage, "cache_write_1h_tokens", hour)
            if hour is not None:
                _set_count(usage, "cache_write_tokens", hour + (count_of(by_age.get(_FIVE_MINUTES)) or 0))
    for each in in_answer:
        _set_count(usage, "reasoning_tokens", largest(each, _REASONING))


def _count_separate_cache(members: Members, usage: pb.Usage) -> None:
    """With Anthropic's names, cached tokens may be counted in addition to the prompt, as Anthropic does: they are
    if the total says so, or if there is no total and they exceed the prompt."""
    separate = sum(
        count_of(members.get(name)) or 0 for name in ("cache_read_input_tokens", "cache_creation_input_tokens")
    )
    if not separate or not usage.HasField("input_tokens"):
        return
    if usage.total_tokens:
        surplus = usage.total_tokens - usage.input_tokens - usage.output_tokens
        apart = surplus == separate and usage.reasoning_tokens != surplus
    else:
        apart = separate > usage.input_tokens
    if apart:
        usage.input_tokens = min(usage.input_tokens + separate, COUNT_MAX)


def _set_count(usage: pb.Usage, attribute: str, value: int | None) -> None:
    """Sets the largest count found."""
    if value is not None and (value > getattr(usage, attribute) or not usage.HasField(attribute)):
        setattr(usage, attribute, min(value, COUNT_MAX))


def _take_count(members: dict[str, msgspec.Raw], name: str, usage: pb.Usage, attribute: str) -> None:
    value = count_of(members.get(name))
    if value is not None:
        _set_count(usage, attribute, value)
        del members[name]


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
