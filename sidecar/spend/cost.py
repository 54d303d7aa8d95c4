"""What a call costs: its tokens times a price, in whole micro-dollars. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from sidecar.snapshot import Price

# A price is for so many tokens.
_PRICED_TOKENS = 1_000_000


class Tokens(NamedTuple):
    """Of one call. `cached` and `written` (to the provider's prompt cache) are part of `input`, `reasoning` of `output`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output


def tokens_of(usage: Any) -> Tokens:
    """Of a canonical Usage. Providers have been seen to say impossible things: nothing is below zero here, no part above its
    whole."""
    input_ = max(0, usage.input_tokens or 0)
    output = max(0, usage.output_tokens or 0)
    cached = min(max(0, usage.cached_input_tokens or 0), input_)
    written = min(max(0, usage.cache_write_tokens or 0), input_ - cached)
    return Tokens(input_, output, cached, written, min(max(0, usage.reasoning_tokens or 0), output))


def cost_micro_dollars(price: Price, tokens: Tokens) -> int:
    """Rounded up once, at the end: a call is never counted as less than it cost, nor as a millionth of a dollar more."""
    for above, other in price.above:
        if tokens.input > above:
            price = other
    cached = price.input if price.cached_input is None else price.cached_input
    written = price.input if price.cache_write is None else price.cache_write
    product = (
        (tokens.input - tokens.cached - tokens.written) * price.input
        + tokens.cached * cached
        + tokens.written * written
        + tokens.output * price.output
    )
    return price.call + -(-product // _PRICED_TOKENS)
