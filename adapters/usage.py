"""Usage as providers report it, in many spellings, and the rules that make it consistent.

Nothing here raises: usage is bookkeeping, and an invalid one never fails the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

import msgspec

from adapters.json_object import MALFORMED, OBJECTS
from sidecar.v1 import inference_pb2 as pb

Members = Mapping[str, msgspec.Raw]

COUNT_MAX = 2**31 - 1
# Characters of a number: no count or bill has more, and Decimal's exponents stay small.
_DIGITS_MAX = 48
_NUMBER = re.compile(rb"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_MICRO = 1_000_000
# Providers add up dollars as floats: anything below this part of a micro-dollar is their rounding error.
_NOISE = Decimal("0.000001")
# No call costs more; in micro-dollars this is far below 2**63.
_DOLLARS_MAX = 1_000_000_000
# xAI's unit: https://docs.x.ai/developers/cost-tracking
_TICKS_A_DOLLAR = 10_000_000_000


def count_of(raw: msgspec.Raw | bytes | None) -> int | None:
    """A whole number from 0 to COUNT_MAX. 12.0 and "12" count as 12; anything else is None."""
    text = b"" if raw is None else bytes(raw)
    if text.isdigit() and len(text) < 10:
        return int(text)
    value = _number(text)
    return int(value) if value is not None and value <= COUNT_MAX and value == int(value) else None


def members_of(raw: msgspec.Raw | bytes | None) -> Members:
    """An object's members; none for anything else."""
    text = b"" if raw is None else bytes(raw)
    if not text.startswith(b"{"):
        return {}
    try:
        return OBJECTS.decode(text)
    except MALFORMED:
        return {}


def largest(members: Members, names: Iterable[str]) -> int | None:
    """The largest of several spellings of one count: some servers send 0 under the name that they do not use."""
    found = [value for name in names if (raw := members.get(name)) is not None and (value := count_of(raw)) is not None]
    return max(found, default=None)


def cost_of(members: Members) -> int | None:
    """The cost that a provider reports, in micro-dollars, from the members of its `usage`.

    OpenRouter, Vercel and others send `cost`, Perplexity an object with `total_cost`, xAI ticks. With `is_byok`,
    another provider bills the model, and its price is added: `cost` is only the gateway's fee then.
    """
    raw = members.get("cost")
    parts = members_of(raw)
    if parts:
        currency = bytes(parts.get("currency", b'"USD"')).strip(b'"').upper()
        return _micro_dollars(parts.get("total_cost")) if currency == b"USD" else None
    found = _micro_dollars(raw)
    if found is None:
        return _micro_dollars(members.get("cost_in_usd_ticks"), _TICKS_A_DOLLAR)
    if bytes(members.get("is_byok", b"")) == b"true":
        details = members_of(members.get("cost_details"))
        return found + (_micro_dollars(details.get("upstream_inference_cost")) or 0)
    return found


def _micro_dollars(raw: msgspec.Raw | bytes | None, a_dollar: int = 1) -> int | None:
    value = _number(b"" if raw is None else bytes(raw))
    if value is None or value > _DOLLARS_MAX * a_dollar:
        return None
    micro = (value * _MICRO / a_dollar).quantize(_NOISE, ROUND_HALF_EVEN)
    return int(micro.to_integral_value(ROUND_CEILING))


def _number(text: bytes) -> Decimal | None:
    """Zero or more, possibly as a string."""
    text = text.strip(b'"')
    if len(text) > _DIGITS_MAX or _NUMBER.fullmatch(text) is None:
        return None
    return Decimal(text.decode())


def settle(usage: pb.Usage) -> None:
    """Makes the counts of an answer consistent; what cannot be derived stays unset.

    Output includes reasoning. Some providers count it separately, and not all of them say so, so the numbers decide:

    - total above input + output: output is total - input;
    - no total, and more reasoning than output: reasoning cannot be part of output, so output is the sum of both;
    - otherwise reasoning is part of output. Output never exceeds a given total.

    Afterwards, no part exceeds its whole. A total of 0 next to other counts is ignored.
    """
    input_, output = _given(usage, "input_tokens"), _given(usage, "output_tokens")
    total, reasoning = _given(usage, "total_tokens") or None, usage.reasoning_tokens
    if total is None:
        if reasoning > (output or 0):
            output = (output or 0) + reasoning
    elif output is None:
        output = None if input_ is None or total <= input_ else total - input_
    elif input_ is None:
        output = min(output, total)
        input_ = total - output
    else:
        output = total - input_ if total > input_ + output else min(output, total)
    if input_ is not None:
        usage.input_tokens = input_
    if output is not None:
        usage.output_tokens = min(output, COUNT_MAX)
    if total is None and input_ is not None and output is not None:
        usage.total_tokens = min(input_ + output, COUNT_MAX)
    _bound_parts(usage)


def settle_vectors(usage: pb.Usage) -> None:
    """The same for embeddings, which have no output: the whole total is input."""
    if usage.HasField("input_tokens"):
        usage.input_tokens = usage.total_tokens = max(usage.input_tokens, usage.total_tokens)
    _bound_parts(usage)


def latest_usage(earlier: pb.Usage | None, later: pb.Usage) -> pb.Usage:
    """For a stream with several counts. Counts grow, so the later one applies, but a 0 or a gap in it does not undo
    the earlier one."""
    if earlier is None:
        return later
    together = pb.Usage()
    together.CopyFrom(earlier)
    for field, value in later.ListFields():
        if value or not together.HasField(field.name):
            setattr(together, field.name, value)
    if not later.total_tokens and together.HasField("input_tokens") and together.HasField("output_tokens"):
        together.total_tokens = min(together.input_tokens + together.output_tokens, COUNT_MAX)
    settle(together)
    return together


def _given(usage: pb.Usage, name: str) -> int | None:
    return getattr(usage, name) if usage.HasField(name) else None


def _bound_parts(usage: pb.Usage) -> None:
    left = usage.input_tokens if usage.HasField("input_tokens") else COUNT_MAX
    for name in ("cached_input_tokens", "cache_write_tokens"):
        if getattr(usage, name) > left:
            setattr(usage, name, left)
        left -= getattr(usage, name)
    if usage.cache_write_1h_tokens > usage.cache_write_tokens:
        usage.cache_write_1h_tokens = usage.cache_write_tokens
    if usage.HasField("output_tokens") and usage.reasoning_tokens > usage.output_tokens:
        usage.reasoning_tokens = usage.output_tokens
