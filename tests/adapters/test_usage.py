"""How tokens are counted: each provider's published shapes, and what holds whatever a provider says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import FORMATS, Task
from adapters.usage import latest_usage, settle
from sidecar.domain.snapshot import Price
from sidecar.gateway.record import tokens_of
from sidecar.spend.cost import TokenCounts, billed_of, cost_micro_dollars
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.laws import CONTEXT
from tests.spend.usage_answers import answer, format_of
from tests.spend.usage_shapes import SHAPES, Shape

PRICE = Price(1_000_000, 10_000_000, 100_000, 1_250_000)


def read(shape: Shape) -> pb.Usage:
    side = FORMATS[format_of(shape)].provider[Task.CHAT]
    usage: pb.Usage = side.decode(json.dumps(answer(shape)).encode(), CONTEXT).usage
    return usage


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_each_shape_is_read_priced_and_consistent(shape: Shape) -> None:
    usage = read(shape)
    tokens = tokens_of(usage)
    assert tokens == shape.tokens
    assert cost_micro_dollars(PRICE, billed_of(usage, tokens)) == shape.micro_dollars
    reported = usage.provider_cost_micro_dollars if usage.HasField("provider_cost_micro_dollars") else None
    assert reported == shape.reported
    if usage.HasField("output_tokens"):
        assert usage.output_tokens == shape.tokens.output
    if usage.HasField("input_tokens"):
        assert usage.input_tokens == shape.tokens.input


@pytest.mark.parametrize("shape", [each for each in SHAPES if format_of(each) == "openai"], ids=lambda each: each.name)
def test_an_answer_that_passes_is_counted_like_one_that_is_translated(shape: Shape) -> None:
    check = FORMATS["openai"].provider[Task.CHAT].check
    assert check is not None
    assert check(json.dumps(answer(shape)).encode()) == read(shape)


def test_an_hour_has_a_price_of_its_own() -> None:
    tokens = TokenCounts(input=100, written=100, written_1h=40)
    stated = Price(1_000_000, 0, cache_write=1_250_000, cache_write_1h=3_000_000)
    assert cost_micro_dollars(stated, tokens) == 60 * 1.25 + 40 * 3
    assert cost_micro_dollars(Price(1_000_000, 0), tokens) == 60 + 40 * 2, "unsaid: twice the input"
    dear = Price(1_000_000, 0, cache_write=4_000_000)
    assert cost_micro_dollars(dear, tokens) == 400, "never cheaper than five minutes"


def test_embeddings_have_no_output_whatever_the_total_says() -> None:
    check = FORMATS["openai"].provider[Task.EMBEDDINGS].check
    assert check is not None

    def counted(usage: dict[str, Any]) -> TokenCounts:
        found = check(json.dumps({"data": [], "usage": usage}).encode())
        assert found is not None
        return tokens_of(found)

    assert counted({"prompt_tokens": 7, "total_tokens": 7}) == TokenCounts(7)
    assert counted({"prompt_tokens": 7}) == TokenCounts(7)
    assert counted({"prompt_tokens": 0, "total_tokens": 7}) == TokenCounts(7)
    assert counted({"total_tokens": 7}) == TokenCounts(7), "Voyage"
    assert counted({"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}) == TokenCounts(7), "Mistral"


COUNTS = st.none() | st.integers(0, 2**31 - 1) | st.integers(0, 50)
FIELDS = (
    *("input_tokens", "output_tokens", "total_tokens", "cached_input_tokens", "cache_write_tokens"),
    *("reasoning_tokens", "cache_write_1h_tokens"),
)
USAGES = st.builds(
    lambda counts: pb.Usage(**dict(zip(FIELDS, counts, strict=True))), st.tuples(*[COUNTS] * len(FIELDS))
)


@given(USAGES)
def test_whatever_is_said_the_sum_is_one(given: pb.Usage) -> None:
    usage = pb.Usage()
    usage.CopyFrom(given)
    settle(usage)
    tokens = tokens_of(usage)
    assert min(tokens) >= 0
    assert tokens.reasoning <= tokens.output
    assert tokens.written_1h <= tokens.written
    assert tokens.cached + tokens.written <= tokens.input
    if given.total_tokens:
        assert usage.output_tokens <= given.total_tokens
        if given.HasField("input_tokens") and given.HasField("output_tokens"):
            assert tokens.total >= min(given.total_tokens, given.input_tokens + given.output_tokens)
    again = pb.Usage()
    again.CopyFrom(usage)
    settle(again)
    assert again == usage, "it is done once, however often"


def test_a_stream_that_counts_along_keeps_the_last_of_each_count() -> None:
    chunks = [
        pb.Usage(input_tokens=1000, output_tokens=1, total_tokens=1001),
        pb.Usage(input_tokens=1000, output_tokens=3100, total_tokens=4100, reasoning_tokens=3000),
        pb.Usage(input_tokens=0, output_tokens=0, total_tokens=0),
    ]
    held: pb.Usage | None = None
    for chunk in chunks:
        held = latest_usage(held, chunk)
    assert held is not None
    assert tokens_of(held) == TokenCounts(1000, 3100, 0, 0, 3000)


def test_a_stream_may_count_the_prompt_first_and_the_answer_last() -> None:
    held = latest_usage(pb.Usage(input_tokens=1000, cached_input_tokens=10), pb.Usage(output_tokens=100))
    assert tokens_of(held) == TokenCounts(1000, 100, 10)
    assert held.total_tokens == 1100
