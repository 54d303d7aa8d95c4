"""The cost of a call: its tokens times a price, in whole micro-dollars. Pure functions."""

from __future__ import annotations

from typing import Any, NamedTuple

from sidecar.domain.snapshot import Price

# A price is per this many tokens.
_PRICED_TOKENS = 1_000_000


# Writing to a cache that is kept for an hour costs twice the input at Anthropic, the only provider that offers it;
# no price table lists it: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#pricing
_HOUR_TIMES_INPUT = 2


class TokenCounts(NamedTuple):
    """The tokens of one call. `cached` and `written` (to the provider's prompt cache) are part of `input`,
    `reasoning` of `output`, and `written_1h` (kept for an hour) of `written`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0
    written_1h: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output


def billed_of(usage: Any, tokens: TokenCounts) -> TokenCounts:
    """The part of `tokens` that is billed: the provider's own count of that, if it gives one."""
    if usage is None or not (usage.HasField("billed_input_tokens") or usage.HasField("billed_output_tokens")):
        return tokens
    input_ = max(0, usage.billed_input_tokens) if usage.HasField("billed_input_tokens") else tokens.input
    output = max(0, usage.billed_output_tokens) if usage.HasField("billed_output_tokens") else tokens.output
    cached = min(tokens.cached, input_)
    written = min(tokens.written, input_ - cached)
    return TokenCounts(input_, output, cached, written, min(tokens.reasoning, output), min(tokens.written_1h, written))


def cost_micro_dollars(price: Price, tokens: TokenCounts) -> int:
    """Rounds up once, at the end: a call is never counted as less than it cost, nor as a full micro-dollar more."""
    for above, other in price.above:
        if tokens.input > above:
            price = other
    cached = price.input if price.cached_input is None else price.cached_input
    written = price.input if price.cache_write is None else price.cache_write
    written_1h = price.cache_write_1h
    if written_1h is None:  # never cheaper than a cache that is kept for five minutes
        written_1h = max(written, _HOUR_TIMES_INPUT * price.input)
    product = (
        (tokens.input - tokens.cached - tokens.written) * price.input
        + tokens.cached * cached
        + (tokens.written - tokens.written_1h) * written
        + tokens.written_1h * written_1h
        + tokens.output * price.output
    )
    return price.call + -(-product // _PRICED_TOKENS)
