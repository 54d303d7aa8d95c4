"""What a call is charged where a provider counts only in part, or says itself what it bills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Budget
from sidecar.spend.ledger import Charge
from tests.gateway.in_process import openai, to
from tests.limits.test_meter import PRICE, USAGE, Metered, answering, piece
from tests.provider import End, Provider, data, sse_reply


@pytest.mark.parametrize(
    ("usage", "known"),
    [
        ({}, {}),
        ({"prompt_tokens": -1, "completion_tokens": 0.5, "total_tokens": "many"}, {}),
        ({"prompt_tokens": 10**12, "completion_tokens": [1]}, {}),
        ({"prompt_tokens": 70}, {"input_tokens": 70}),
        ({"prompt_tokens": 70, "completion_tokens": -5}, {"input_tokens": 70}),
        ({"completion_tokens": 30}, {"output_tokens": 30}),
    ],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
async def test_what_a_provider_does_not_count_is_estimated_and_not_free(
    provider: Provider, tmp_path: Path, usage: dict[str, Any], known: dict[str, int], streamed: bool
) -> None:
    counted = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
    ended = {**counted, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None}
    pieces = [piece("x" * 400), data(ended), data(counted), data("[DONE]")]
    whole = answering(usage)
    provider.script = lambda call: sse_reply(pieces) if streamed else whole(call)
    async with Metered(to(openai(provider, price=PRICE)), tmp_path) as core:
        await core.ask(streamed, text="a" * 400)
        charged = core.charged
    estimated = {"input_tokens": range(100, 121), "output_tokens": range(100, 201)}
    for name, expected in estimated.items():
        count = getattr(charged, name)
        assert count == known[name] if name in known else count in expected, name
    assert charged.estimated_tokens == charged.input_tokens + charged.output_tokens
    assert charged.micro_dollars == charged.input_tokens + 2 * charged.output_tokens


async def test_a_stream_that_breaks_off_is_charged_the_larger_of_both_figures(
    provider: Provider, tmp_path: Path
) -> None:
    """What the provider reported by then may not be all."""
    so_far = {"prompt_tokens": 77, "completion_tokens": 1, "total_tokens": 78}
    for number, (cost, least) in enumerate(((0.000001, 77 + 2 * 20), (0.5, 500_000))):
        counted = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
        script = [piece("a"), data({**counted, "usage": {**so_far, "cost": cost}}), piece("x" * 80)]
        provider.script = lambda call, script=script: sse_reply(script, end=End.CUT)
        (folder := tmp_path / str(number)).mkdir()
        async with Metered(to(openai(provider, price=PRICE, cost="provider")), folder) as core:
            with pytest.raises(GatewayError):
                await core.stream()
            assert core.charged.micro_dollars >= least


async def test_a_reported_cost_is_charged_where_no_price_is_known(provider: Provider, tmp_path: Path) -> None:
    provider.script = answering({**USAGE, "cost": 0.000764})  # type: ignore[dict-item]
    async with Metered(to(openai(provider, cost="provider")), tmp_path) as core:
        await core.chat()
        assert core.charged == Charge(1, 100, 50, micro_dollars=764, provider_micro_dollars=764)
        provider.script = answering(USAGE)
        await core.chat()
        assert (core.charged.micro_dollars, core.charged.unpriced_tokens) == (764, 150)
        assert core.count("sidecar_unreported_costs_total", route="chat") == 1


async def test_a_reported_cost_fills_a_budget(provider: Provider, tmp_path: Path) -> None:
    provider.script = answering({**USAGE, "cost": 0.5})  # type: ignore[dict-item]
    budgets = (Budget(500_000, "day"),)
    async with Metered(to(openai(provider, price=PRICE, cost="provider"), budgets=budgets), tmp_path) as core:
        await core.chat()
        with pytest.raises(GatewayError) as raised:
            await core.chat()
    assert raised.value.kind is Kind.BUDGET_EXCEEDED
