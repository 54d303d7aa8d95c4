"""What a call is charged, whatever becomes of it: through the gateway, with a provider on loopback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters import Envelope, GatewayError, Kind, Task
from sidecar.domain.call import Call
from sidecar.domain.snapshot import Budget, Consumer, Limit, Price, Snapshot
from sidecar.gateway.estimate import Estimate, estimate_tokens
from sidecar.gateway.gateway import Gateway
from sidecar.gateway.meter import Meter, duration
from sidecar.limits import LimitStore
from sidecar.spend.ledger import Charge, Ledger, Line
from sidecar.store import SharedMemory
from sidecar.v1 import inference_pb2 as pb
from tests.gateway.in_process import Core, openai, to
from tests.provider import End, Provider, data, error_reply, json_reply, sse_reply

NOW_S = 1_795_000_000.0
PRICE = Price(1_000_000, 2_000_000)  # one and two micro-dollars a token
REQUEST = Limit("requests", 2, 86_400)
TOKENS = Limit("tokens", 10_000, 86_400)
PLACE = Limit("concurrent", 1)


class Metered(Core):
    """A gateway with buckets and a ledger in `folder`, at a time of the test's own."""

    def __init__(self, snapshot: Snapshot, folder: Path, now_s: Callable[[], float] = lambda: NOW_S) -> None:
        super().__init__(snapshot)
        self.ledger = Ledger(folder)
        self.meter = Meter(self.metrics, SharedMemory(LimitStore(folder, 0), self.ledger, now_s))
        self.gateway = Gateway(snapshot, self._client, self.metrics, meter=self.meter)

    async def __aexit__(self, *error: Any) -> None:
        await super().__aexit__(*error)
        await self.meter.close()

    @property
    def lines(self) -> list[Line]:
        return list(self.ledger.lines())

    @property
    def charged(self) -> Charge:
        """To the one consumer on the one route."""
        (line,) = self.lines
        assert (line.consumer, line.route) == ("local", "chat")
        return line.counts

    async def headers(self, **fields: Any) -> dict[str, str]:
        return dict((await self.gateway.unary(self.call(**fields))).headers)


def answering(usage: dict[str, int] | None) -> Callable[[Any], Any]:
    message = {"role": "assistant", "content": "x" * 400}
    body: dict[str, Any] = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
    body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return lambda call: json_reply({key: value for key, value in body.items() if value is not None})


def piece(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return data({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}


async def test_a_call_is_charged_what_the_provider_counted(provider: Provider, tmp_path: Path) -> None:
    provider.script = answering(USAGE)
    async with Metered(to(openai(provider, price=PRICE), limits=(REQUEST, TOKENS)), tmp_path) as core:
        headers = await core.headers(text="hello")
        assert core.charged == Charge(1, 100, 50, micro_dollars=200)
        assert core.count("sidecar_spend_micro_dollars_total", consumer="local") == 200
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert headers["x-ratelimit-remaining-requests"] == "1"
    assert (
        headers["x-ratelimit-reset-requests"].startswith("11h59m") or headers["x-ratelimit-reset-requests"] == "12h0m0s"
    )
    assert headers["x-ratelimit-limit-tokens"] == "10000"
    assert headers["x-ratelimit-remaining-tokens"] == "9850"


async def test_an_unknown_price_is_counted_as_unknown(provider: Provider, tmp_path: Path) -> None:
    provider.script = answering(USAGE)
    async with Metered(to(openai(provider)), tmp_path) as core:
        await core.chat()
        assert core.charged == Charge(1, 100, 50, unpriced_tokens=150)
        assert core.count("sidecar_unpriced_tokens_total", route="chat") == 150
        assert core.count("sidecar_spend_micro_dollars_total") == 0


async def test_where_the_provider_counts_nothing_the_charge_is_an_estimate(provider: Provider, tmp_path: Path) -> None:
    provider.script = answering(None)
    async with Metered(to(openai(provider, price=PRICE)), tmp_path) as core:
        await core.chat("a" * 400)
        charged = core.charged
        assert 100 <= charged.input_tokens <= 120
        assert charged.output_tokens >= 100
        assert charged.estimated_tokens == charged.input_tokens + charged.output_tokens
        assert charged.micro_dollars == charged.input_tokens + 2 * charged.output_tokens
        assert core.count("sidecar_estimated_tokens_total", route="chat") == charged.estimated_tokens


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
async def test_a_failed_call_gives_its_reservation_back_whole(
    provider: Provider, tmp_path: Path, streamed: bool
) -> None:
    provider.script = lambda call: error_reply(call, 400, "no")
    async with Metered(to(openai(provider, price=PRICE), limits=(REQUEST, TOKENS, PLACE)), tmp_path) as core:
        for _ in range(5):
            with pytest.raises(GatewayError, match="no"):
                await core.ask(streamed)
        assert core.lines == []
        provider.script = answering(USAGE)
        assert (await core.headers())["x-ratelimit-remaining-requests"] == "1"


async def test_a_cancelled_stream_is_charged_for_what_it_produced(provider: Provider, tmp_path: Path) -> None:
    gate = provider.gate()
    provider.script = lambda call: sse_reply([*(piece("four") for _ in range(10)), gate, piece("never")])
    async with Metered(to(openai(provider, price=PRICE), limits=(REQUEST, TOKENS, PLACE)), tmp_path) as core:
        seen = 0
        async with core.gateway.stream(core.call("a" * 400, stream=True)) as answer:
            async for chunks in answer:
                seen += len(chunks or ())
                if seen >= 10:
                    break
        charged = core.charged
        assert 100 <= charged.input_tokens <= 120
        assert charged.output_tokens == 10
        assert charged.estimated_tokens == charged.input_tokens + 10
        assert dict(answer.headers)["x-ratelimit-remaining-requests"] == "1"
        provider.script = answering(USAGE)
        await core.chat()  # the place is free again


async def test_a_stream_that_breaks_off_after_its_prompt_was_counted_keeps_that_count(
    provider: Provider, tmp_path: Path
) -> None:
    """Some providers count along."""
    counted: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
    counted["usage"] = {"prompt_tokens": 77, "completion_tokens": 1, "total_tokens": 78}
    provider.script = lambda call: sse_reply([piece("a"), data(counted), piece("x" * 80)], end=End.CUT)
    async with Metered(to(openai(provider, price=PRICE)), tmp_path) as core:
        with pytest.raises(GatewayError) as raised:
            await core.stream()
        assert raised.value.kind is Kind.UPSTREAM_INTERRUPTED
        assert core.charged.input_tokens == 77
        assert core.charged.output_tokens >= 20
        assert core.charged.estimated_tokens == core.charged.input_tokens + core.charged.output_tokens


async def test_a_refusal_says_which_limit_and_when_to_come_again(provider: Provider, tmp_path: Path) -> None:
    provider.script = answering(USAGE)
    async with Metered(to(openai(provider), limits=(REQUEST,)), tmp_path) as core:
        await core.chat()
        await core.chat()
        with pytest.raises(GatewayError) as raised:
            await core.chat()
        assert len(provider.calls) == 2
        assert core.count("sidecar_limited_total", route="chat", unit="requests") == 1
    assert raised.value.kind is Kind.RATE_LIMITED
    assert 'of route "chat": 2 requests per day' in raised.value.message
    assert raised.value.retry_after_s is not None
    assert 0 < raised.value.retry_after_s <= 43_200.002
    assert dict(raised.value.headers)["x-ratelimit-remaining-requests"] == "0"


async def test_a_place_that_is_taken_names_no_time(provider: Provider, tmp_path: Path) -> None:
    gate = provider.gate()
    provider.script = lambda call: sse_reply([piece("one"), gate])
    async with Metered(to(openai(provider), limits=(PLACE,)), tmp_path) as core:
        async with core.gateway.stream(core.call(stream=True)) as answer:
            await anext(answer)
            with pytest.raises(GatewayError, match="1 at once") as raised:
                await core.chat()
        assert raised.value.retry_after_s is None


async def test_a_spent_budget_stops_calls_until_midnight(provider: Provider, tmp_path: Path) -> None:
    provider.script = answering(USAGE)
    now_s = [NOW_S]
    budgets = (Budget(400, "day", soft=0.5),)
    async with Metered(to(openai(provider, price=PRICE), budgets=budgets), tmp_path, lambda: now_s[0]) as core:
        assert "x-sidecar-budget" not in await core.headers()
        assert (await core.headers())["x-sidecar-budget"].startswith(
            "50% of $0.0004 per day for this route; resets at "
        )
        with pytest.raises(GatewayError) as raised:
            await core.chat()
        assert raised.value.kind is Kind.BUDGET_EXCEEDED
        assert len(provider.calls) == 2
        assert core.count("sidecar_limited_total", unit="budget") == 1
        assert raised.value.retry_after_s is not None
        now_s[0] += raised.value.retry_after_s
        await core.chat()


async def test_limits_of_another_configuration_hold_at_once(provider: Provider, tmp_path: Path) -> None:
    provider.script = answering(USAGE)
    async with Metered(to(openai(provider), limits=(REQUEST,)), tmp_path) as core:
        await core.chat()
        core.gateway.snapshot = to(openai(provider), limits=(Limit("requests", 4, 86_400), TOKENS))
        assert (await core.headers())["x-ratelimit-remaining-requests"] == "1"  # half was used, then one of four more


def chat(**members: bytes) -> Call:
    envelope = Envelope({"model": b'"chat"', **members}, "chat", False, False)
    return Call(Task.CHAT, "chat", "chat", Consumer("local"), "id", envelope=envelope, client_format="openai")


def test_the_estimate_is_a_quarter_of_the_bytes_and_what_the_answer_may_take() -> None:
    prompt = (6 + 4000) // 4 + 1
    assert estimate_tokens(chat(messages=b"x" * 4000)) == Estimate(prompt, 512)
    assert estimate_tokens(chat(messages=b"x" * 4000, max_tokens=b"100", n=b"3")).answer == 300
    assert estimate_tokens(chat(max_completion_tokens=b"7")).answer == 7
    assert estimate_tokens(chat(max_tokens=b'"many"')).answer == 512
    assert estimate_tokens(chat(max_tokens=b"999999999", n=b"999999999")).answer == 100_000_000


def test_a_picture_is_not_counted_by_its_letters() -> None:
    picture = b'[{"image_url":{"url":"data:image/png;base64,' + b"A" * 1_000_000 + b'"}}]'
    assert 1_000 <= estimate_tokens(chat(messages=picture)).prompt <= 1_100
    part = pb.ContentPart(image=pb.Image(data=bytes(1_000_000), mime_type="image/png"))
    request = pb.ChatRequest(route="chat", messages=[pb.Message(role=pb.ROLE_USER, content=[part])])
    call = Call(Task.CHAT, "chat", "chat", Consumer("local"), "id", request=request)
    assert 1_000 <= estimate_tokens(call).prompt <= 1_100


def test_vectors_have_no_answer_to_estimate() -> None:
    request = pb.EmbedRequest(route="e", inputs=[pb.EmbedInput(text="x" * 400)])
    call = Call(Task.EMBEDDINGS, "embed", "e", Consumer("local"), "id", request=request)
    assert estimate_tokens(call).answer == 0


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (20_000_000, "20ms"),
        (10**9, "1s"),
        (360 * 10**9, "6m0s"),
        (3_723_500_000_000, "1h2m3.5s"),
    ],
)
def test_times_are_written_as_openai_writes_them(ns: int, text: str) -> None:
    assert duration(ns) == text
