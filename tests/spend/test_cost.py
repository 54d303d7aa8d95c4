"""What a call costs: in whole micro-dollars, from prices that are stated, from the table, or unknown."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import Task
from adapters.providers import PROVIDERS
from sidecar.domain.snapshot import Price, Route, Snapshot, Upstream
from sidecar.gateway.record import tokens_of
from sidecar.spend.cost import TokenCounts, cost_micro_dollars
from sidecar.spend.prices import _TABLE, price_of, table_price, with_prices
from sidecar.v1 import inference_pb2 as pb

NOW_S = 1_795_000_000.0
COUNTS = st.integers(0, 2**31 - 1)
PRICES = st.integers(0, 10**9)


def test_a_million_tokens_each_way_cost_both_prices() -> None:
    assert cost_micro_dollars(Price(2_500_000, 10_000_000), TokenCounts(1_000_000, 1_000_000)) == 12_500_000


def test_cached_and_written_tokens_have_prices_of_their_own() -> None:
    price = Price(1_000_000, 0, cached_input=100_000, cache_write=1_250_000)
    assert cost_micro_dollars(price, TokenCounts(input=100, cached=50, written=20)) == 30 + 5 + 25
    assert cost_micro_dollars(Price(1_000_000, 0), TokenCounts(input=100, cached=50, written=20)) == 100


def test_a_part_of_a_micro_dollar_is_a_whole_one() -> None:
    assert cost_micro_dollars(Price(20_000, 0), TokenCounts(input=1)) == 1
    assert cost_micro_dollars(Price(20_000, 0), TokenCounts(input=50)) == 1
    assert cost_micro_dollars(Price(20_000, 0), TokenCounts(input=51)) == 2
    assert cost_micro_dollars(Price(20_000, 0), TokenCounts()) == 0


def test_a_long_prompt_is_priced_as_one_throughout() -> None:
    price = Price(1_000_000, 0, above=((200, Price(2_000_000, 0)), (400, Price(3_000_000, 0))))
    assert [cost_micro_dollars(price, TokenCounts(input=count)) for count in (200, 201, 400, 401)] == [
        200,
        402,
        800,
        1203,
    ]


@given(PRICES, PRICES, COUNTS, COUNTS)
def test_the_rounding_is_up_and_less_than_one(input_: int, output: int, input_tokens: int, output_tokens: int) -> None:
    exact = (Decimal(input_) * input_tokens + Decimal(output) * output_tokens) / 1_000_000
    assert 0 <= cost_micro_dollars(Price(input_, output), TokenCounts(input_tokens, output_tokens)) - exact < 1


@given(*[st.integers(-(2**31), 2**31 - 1)] * 5)
def test_whatever_a_provider_says_no_part_is_negative_or_larger_than_its_whole(
    input_: int, output: int, cached: int, written: int, reasoning: int
) -> None:
    tokens = tokens_of(
        pb.Usage(
            input_tokens=input_,
            output_tokens=output,
            cached_input_tokens=cached,
            cache_write_tokens=written,
            reasoning_tokens=reasoning,
        )
    )
    assert min(tokens) >= 0
    assert tokens.cached + tokens.written <= tokens.input
    assert tokens.reasoning <= tokens.output


def test_the_table_knows_openais_models_with_their_cache() -> None:
    price = table_price("openai", "gpt-4o", Task.CHAT, NOW_S)
    assert price is not None
    assert 0 < price.input < price.output
    assert price.cached_input is not None
    assert price.cached_input < price.input


def test_steps_of_the_table_become_steps_of_the_price() -> None:
    price = table_price("gemini", "gemini-2.5-pro", Task.CHAT, NOW_S)
    assert price is not None
    (above, dearer), *_ = price.above
    assert above >= 100_000
    assert dearer.input > price.input
    assert dearer.output > price.output


def test_an_embedding_has_no_output_to_pay_for() -> None:
    price = table_price("openai", "text-embedding-3-small", Task.EMBEDDINGS, NOW_S)
    assert price is not None
    assert price.output == 0 < price.input


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-of-tomorrow"), ("vllm", "llama"), ("azure", "my-own")])
def test_what_the_table_does_not_know_has_no_price(provider: str, model: str) -> None:
    assert table_price(provider, model, Task.CHAT, NOW_S) is None


def test_a_row_without_a_price_for_tokens_is_no_price() -> None:
    from genai_prices.types import ModelPrice

    assert price_of(ModelPrice(input_mtok=Decimal(1)), Task.CHAT) is None
    assert price_of(ModelPrice(output_mtok=Decimal(1)), Task.CHAT) is None
    assert price_of(ModelPrice(input_mtok=Decimal("0.0375"), output_mtok=Decimal(1)), Task.CHAT) == Price(
        37_500, 1_000_000
    )


def test_every_provider_that_is_looked_up_exists_here_and_there() -> None:
    from genai_prices.data import providers

    assert _TABLE.keys() <= PROVIDERS.keys()
    assert set(_TABLE.values()) <= {each.id for each in providers}


def snapshot(upstream: Upstream) -> Snapshot:
    return Snapshot({"chat": Route("chat", Task.CHAT, (upstream,))}, "0")


OPENAI = Upstream("openai", "gpt-4o", "https://api.openai.com/v1", None)


def price_in(snapshot: Snapshot) -> Price | None:
    return snapshot.routes["chat"].upstreams[0].price


def test_a_snapshot_gets_its_prices_from_the_table() -> None:
    assert price_in(with_prices(snapshot(OPENAI), NOW_S)) == table_price("openai", "gpt-4o", Task.CHAT, NOW_S)


def test_a_stated_price_stands() -> None:
    assert price_in(with_prices(snapshot(replace(OPENAI, price=Price(1, 2))), NOW_S)) == Price(1, 2)


def test_where_the_address_is_not_the_providers_its_prices_are_not_either() -> None:
    assert price_in(with_prices(snapshot(replace(OPENAI, base_url="http://127.0.0.1:8000/v1")), NOW_S)) is None


def test_the_embedded_model_is_known_to_cost_nothing() -> None:
    local = Upstream("local", "SmolLM2", "http://127.0.0.1:9/v1", None)
    assert price_in(with_prices(snapshot(local), NOW_S)) == Price(0, 0)
