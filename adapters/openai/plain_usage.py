"""Decodes the most common usage in one step: OpenAI's own names, whole numbers that add up."""

from __future__ import annotations

from typing import Annotated

import msgspec

from adapters.json_object import MALFORMED
from adapters.usage import COUNT_MAX
from sidecar.v1 import inference_pb2 as pb

_Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """What OpenAI documents, and nothing else."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: dict[str, msgspec.Raw] | None = None
    completion_tokens_details: dict[str, msgspec.Raw] | None = None


_PLAIN = msgspec.json.Decoder(_Plain)
# Details that are not the source of any of our counts.
_IN_PROMPT = frozenset({"cached_tokens", "audio_tokens", "text_tokens", "image_tokens"})
_IN_ANSWER = frozenset(
    {"reasoning_tokens", "audio_tokens", "text_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"}
)


def plain_usage(raw: bytes | msgspec.Raw) -> pb.Usage | None:
    """Returns None for anything else, which `finish_and_usage` handles. Both give the same result for common ones."""
    try:
        found = _PLAIN.decode(raw)
    except MALFORMED:
        return None
    input_, output = found.prompt_tokens, found.completion_tokens
    if input_ + output != found.total_tokens:
        return None
    usage = pb.Usage(input_tokens=input_, output_tokens=output, total_tokens=found.total_tokens)
    rest: dict[str, dict[str, msgspec.Raw]] = {}
    if (details := found.prompt_tokens_details) is not None:
        if (cached := _detail(details, "cached_tokens", _IN_PROMPT, input_)) is None:
            return None
        usage.cached_input_tokens = cached
        if details:
            rest["prompt_tokens_details"] = details
    if (details := found.completion_tokens_details) is not None:
        if (reasoning := _detail(details, "reasoning_tokens", _IN_ANSWER, output)) is None:
            return None
        usage.reasoning_tokens = reasoning
        if details:
            rest["completion_tokens_details"] = details
    if rest:
        usage.extra_json = msgspec.json.encode(rest).decode("utf-8", "replace")
    return usage


def _detail(details: dict[str, msgspec.Raw], name: str, known: frozenset[str], whole: int) -> int | None:
    """Takes the count with this name. None if something else must be read first."""
    text = bytes(details.pop(name, b""))
    if not text.isdigit() or len(text) > 9 or not details.keys() <= known or (count := int(text)) > whole:
        return None
    for other in [other for other, value in details.items() if bytes(value) == b"null"]:
        del details[other]
    return count
