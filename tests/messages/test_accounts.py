"""Limits, budgets, money and the log hold for calls of the Messages API as for every other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.messages.providers import answers
from tests.processes import wait_until
from tests.provider import Provider
from tests.stack.stack import Stack, route

PATH = "/v1/messages"
BODY: dict[str, Any] = {"max_tokens": 64, "messages": [{"role": "user", "content": "Oslo?"}]}
PRICE = "price: {input: 1000, output: 1000}\nbudgets: [{dollars: 0.06, per: day}]"
LIMIT = "limits: [{requests: 2, per: hour}]"


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[Stack]:
    """Routes of two kinds of provider with a limit, and with a price and a budget for one call."""
    kinds = (("claude", "anthropic"), ("gpt", "openai-compatible"))
    routes = [
        route(f"{name}-{what}", "chat", simulator, kind=kind, extra=extra)
        for name, kind in kinds
        for what, extra in (("limit", LIMIT), ("budget", PRICE))
    ]
    with Stack(tmp_path_factory.mktemp("governed"), "routes:\n" + "".join(routes), workers=1) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", ["claude", "gpt"])
def test_a_limit_refuses_in_anthropics_shape_and_says_when(
    governed: Stack, simulator: Provider, name: str, stream: bool
) -> None:
    simulator.script = answers
    sent = {**BODY, "model": f"{name}-limit", "stream": stream}
    with governed.http() as http:
        refused = next(answer for _ in range(3) if (answer := http.post(PATH, json=sent)).status_code != 200)
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert int(refused.headers["retry-after"]) > 60
    assert refused.headers["x-ratelimit-limit-requests"] == "2"


@pytest.mark.parametrize("name", ["claude", "gpt"])
def test_a_call_costs_what_its_tokens_cost_and_an_empty_budget_is_a_billing_error(
    governed: Stack, simulator: Provider, name: str
) -> None:
    """40 tokens in, 7 of them from the cache, and 12 out: at 1,000 dollars a million 5.2 cents at most."""
    simulator.script = answers
    sent = {**BODY, "model": f"{name}-budget"}
    with governed.http() as http:
        assert http.post(PATH, json=sent).status_code == 200
        assert http.post(PATH, json={**sent, "stream": True}).status_code == 200
        refused = http.post(PATH, json=sent)
    assert (refused.status_code, refused.json()["error"]["type"]) == (402, "billing_error")
    assert refused.json()["error"]["details"] == {"error_code": "budget_exceeded"}
    assert refused.headers.get("x-should-retry") in (None, "false")
    spent = governed.metric("sidecar_spend_micro_dollars_total", route=f"{name}-budget") or governed.metric(
        "sidecar_spend_dollars_total", route=f"{name}-budget"
    )
    assert spent > 0

    def missing() -> list[str]:
        lines = [line for line in governed.log.splitlines() if f'"route":"{name}-budget"' in line]
        return [word for word in ('"messages"', '"stream_messages"') if not any(word in line for line in lines)]

    wait_until(lambda: not missing())  # a line is written shortly after its answer
