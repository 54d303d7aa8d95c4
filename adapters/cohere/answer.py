"""What all answers of Cohere share: finish reasons, usage, logprobs.

Cohere counts twice: `tokens` is what the model read and wrote, including the conversation's template; `billed_units`
is what is paid for. We report `tokens`, as for every other provider. Costs are computed from `billed_units`, which
also stays in the usage's extra_json. If an answer only has billed units (embeddings, /v1/generate), those are the
counts.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.json_object import MALFORMED, Obj, object_text, of_answer
from adapters.usage import COUNT_MAX, count_of, settle
from sidecar.v1 import inference_pb2 as pb

# https://docs.cohere.com/reference/chat (COMPLETE ... TIMEOUT); ERROR_* and USER_CANCEL are version 1's. Unknown
# words become OTHER; ERROR is a failure.
_FINISH_REASONS = {
    "COMPLETE": pb.FINISH_REASON_STOP,
    "STOP_SEQUENCE": pb.FINISH_REASON_STOP,
    "MAX_TOKENS": pb.FINISH_REASON_LENGTH,
    "ERROR_LIMIT": pb.FINISH_REASON_LENGTH,
    "TOOL_CALL": pb.FINISH_REASON_TOOL_CALLS,
    "ERROR_TOXIC": pb.FINISH_REASON_CONTENT_FILTER,
}
_ITEMS = msgspec.json.Decoder(list[dict[str, Any]])
_FAILED = "ERROR"


def finish_reason(native: str) -> pb.FinishReason:
    return _FINISH_REASONS.get(native, pb.FINISH_REASON_OTHER) if native else pb.FINISH_REASON_UNSPECIFIED


def failed(native: str) -> bool:
    return native == _FAILED


def inner(obj: Obj, name: str) -> Obj | None:
    """Takes an object of bookkeeping data; anything else with that name stays where it is."""
    raw = bytes(obj.members.get(name, b""))
    if not raw.startswith(b"{"):
        return None
    del obj.members[name]
    return Obj(raw, obj.at(name), of_answer)


def read_usage(holder: Obj) -> pb.Usage | None:
    """Takes the counts out of `usage` (v2) or `meta` (v1). None if there are none."""
    tokens, billed = inner(holder, "tokens"), inner(holder, "billed_units")
    usage = pb.Usage()
    for source in (tokens, billed):
        if source is not None and not usage.ListFields():
            _take(usage, source, "input_tokens")
            _take(usage, source, "output_tokens")
            _take(usage, source, "reasoning_tokens")
            _add_images(usage, source)
    _take(usage, holder, "cached_tokens", "cached_input_tokens")
    settle(usage)
    if tokens is not None and billed is not None:
        _add_billed(usage, billed)
    rest = {"tokens": tokens, "billed_units": billed}
    left = {name: obj.extra() for name, obj in rest.items() if obj is not None}
    if extra := object_text({name: msgspec.Raw(text.encode()) for name, text in left.items() if text}):
        usage.extra_json = extra
    return usage if usage.ListFields() else None


def _add_billed(usage: pb.Usage, billed: Obj) -> None:
    members = billed.members
    input_, output = count_of(members.get("input_tokens")), count_of(members.get("output_tokens"))
    if input_ is not None:
        usage.billed_input_tokens = min(input_ + (count_of(members.get("image_tokens")) or 0), COUNT_MAX)
    if output is not None:
        usage.billed_output_tokens = output


def _add_images(usage: pb.Usage, obj: Obj) -> None:
    """Image tokens are counted separately from text tokens, and billed. Their count is also kept, since some models
    have a separate price for them."""
    count = count_of(obj.members.get("image_tokens"))
    if count:
        usage.input_tokens = min(usage.input_tokens + count, COUNT_MAX)


def _take(usage: pb.Usage, obj: Obj, name: str, field: str | None = None) -> None:
    """An invalid count never fails the answer: it stays where it is."""
    value = count_of(obj.members.get(name))
    if value is not None:
        setattr(usage, field or name, value)
        del obj.members[name]


def add_usage(answer: Any, usage: pb.Usage | None) -> None:
    if usage is not None:
        answer.usage.CopyFrom(usage)


def read_logprobs(obj: Obj, into: Any) -> None:
    """Reads `logprobs`, an item or a list, into a choice. All stay in place if an item covers several tokens, which
    share one text."""
    raw = bytes(obj.members.get("logprobs", b""))
    try:
        items = _ITEMS.decode(raw if raw.startswith(b"[") else b"[" + raw + b"]")
    except MALFORMED:
        return
    made = []
    for item in items:
        text, values = item.get("text"), item.get("logprobs")
        if not isinstance(text, str) or not isinstance(values, list) or len(values) != 1:
            return
        if isinstance(values[0], bool) or not isinstance(values[0], int | float):
            return
        made.append(pb.TokenLogprob(token=text, logprob=values[0]))
    if made:
        del obj.members["logprobs"]
        into.logprobs.content.extend(made)
