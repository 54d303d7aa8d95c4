"""Several upstreams of a route: who is asked, in which order, and what the answer says about it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Retries, Timeouts
from tests.gateway.in_process import Core, anthropic, openai, to
from tests.processes import reached
from tests.provider import End, Framing, Provider, Reply, data, error_reply, event, sse_reply

BOTH = pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])


@pytest.fixture
def providers() -> Iterator[tuple[Provider, Provider, Provider]]:
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(Provider()) for _ in range(3))
        yield first, second, third


Three = tuple[Provider, Provider, Provider]


@BOTH
async def test_the_first_upstream_is_asked_while_it_is_well(providers: Three, streamed: bool) -> None:
    first, second, _ = providers
    async with Core(to(openai(first), anthropic(second))) as core:
        assert [await core.ask(streamed) for _ in range(3)] == ["openai"] * 3
    assert (len(first.calls), len(second.calls)) == (3, 0)


@BOTH
@pytest.mark.parametrize("status", [401, 402, 404, 408, 429, 500, 503, 529, 302])
async def test_what_another_upstream_may_mend_goes_to_the_next_one_in_its_own_format(
    providers: Three, status: int, streamed: bool
) -> None:
    first, second, third = providers
    first.script = lambda call: error_reply(call, status, "no")
    async with Core(to(openai(first), anthropic(second), openai(third))) as core:
        assert await core.ask(streamed) == "anthropic"
        assert core.count("sidecar_fallbacks_total", route="chat") == 1
        assert core.count("sidecar_requests_total", outcome="ok") == 1
        assert core.count("sidecar_upstream_requests_total", provider="anthropic", outcome="ok") == 1
    assert (len(first.calls), len(second.calls), len(third.calls)) == (1, 1, 0)
    assert second.calls[0].path == "/v1/messages"
    assert second.calls[0].json["model"] == "claude-test"
    assert second.calls[0].key == "sk-a"


@BOTH
@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_request_that_is_at_fault_is_not_taken_elsewhere(providers: Three, status: int, streamed: bool) -> None:
    first, second, _ = providers
    first.script = lambda call: error_reply(call, status, "no")
    async with Core(to(openai(first), anthropic(second))) as core:
        with pytest.raises(GatewayError):
            await core.ask(streamed)
    assert (len(first.calls), len(second.calls)) == (1, 0)


@BOTH
@pytest.mark.parametrize(
    "reply",
    [
        Reply(head=False, end=End.CUT),
        Reply(head=False, end=End.RST),
        Reply(head=False, end=End.GARBAGE),
        Reply(parts=(b'{"id":',), framing=Framing.CHUNKED, end=End.CUT),
        Reply(parts=(b"<html>",), headers=(("content-type", "text/html"),)),
        Reply(parts=()),
        sse_reply([event("", "nonsense")]),
        sse_reply([data({"error": {"message": "overloaded", "type": "server_error"}})]),
        sse_reply([data({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})], end=End.CUT),
    ],
    ids=["cut", "rst", "garbage", "half a body", "html", "empty", "no event", "error event", "role, then cut"],
)  # fmt: skip
async def test_an_answer_that_is_none_goes_to_the_next_one_before_any_output(
    providers: Three, reply: Reply, streamed: bool
) -> None:
    first, second, _ = providers
    first.script = lambda call: reply
    async with Core(to(openai(first), anthropic(second))) as core:
        assert await core.ask(streamed) == "anthropic"
    assert (len(first.calls), len(second.calls)) == (1, 1)


@BOTH
async def test_an_upstream_that_is_silent_is_left_for_the_next_one(providers: Three, streamed: bool) -> None:
    first, second, _ = providers
    gate = first.gate()
    first.script = lambda call: Reply(before=gate)
    async with Core(to(openai(first), anthropic(second), timeouts=Timeouts(first_output_s=0.5))) as core:
        assert await core.ask(streamed) == "anthropic"
        await first.until(lambda p: not p.open_connections)


async def test_a_whole_answer_may_take_its_time_where_nobody_else_could_answer(provider: Provider) -> None:
    provider.script = lambda call: None if len(provider.calls) > 1 else Reply(head_delay_s=0.4, parts=(b"{}",))
    timeouts = Timeouts(first_output_s=0.1)
    async with Core(to(openai(provider), timeouts=timeouts)) as core:
        with pytest.raises(GatewayError) as caught:  # {} is no answer, but it was waited for
            await core.chat()
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


async def test_once_output_has_reached_the_caller_nobody_else_is_asked(providers: Three) -> None:
    first, second, _ = providers
    piece = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
             "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}  # fmt: skip
    first.script = lambda call: sse_reply([data(piece)], end=End.CUT)
    seen: list[str] = []

    async def read(core: Core) -> None:
        async for chunks in core.pieces(core.call(stream=True)):
            seen.extend(chunk.choices[0].delta.content for chunk in chunks)

    async with Core(to(openai(first), anthropic(second), retries=Retries(budget=5))) as core:
        with pytest.raises(GatewayError) as caught:
            await read(core)
        assert core.count("sidecar_upstream_requests_total", outcome="upstream_interrupted") == 1
    assert seen == ["Hel"]
    assert caught.value.kind is Kind.UPSTREAM_INTERRUPTED
    assert (len(first.calls), len(second.calls)) == (1, 0)


@BOTH
async def test_when_all_fail_the_caller_gets_the_last_failure(providers: Three, streamed: bool) -> None:
    first, second, third = providers
    first.script = lambda call: error_reply(call, 500, "first")
    second.script = lambda call: error_reply(call, 429, "second")
    async with Core(to(openai(first), anthropic(second), openai(third))) as core:
        call = core.call(stream=streamed)
        with pytest.raises(GatewayError) as caught:
            await core.end_of(call)
        assert core.attempts == 2
    assert caught.value.kind is Kind.RATE_LIMITED
    assert caught.value.retried, "a client that tries again would multiply"
    assert "second" in caught.value.message
    assert len(third.calls) == 0, "the budget is of the call, not of each upstream"


async def test_an_upstream_that_cannot_say_the_call_is_passed_over(providers: Three) -> None:
    first, second, third = providers
    options: dict[str, Any] = {"logprobs": True}  # Anthropic's format has none
    first.script = lambda call: error_reply(call, 500, "oops")
    async with Core(to(anthropic(second), openai(third))) as core:
        assert await core.ask(False, **options) == "openai"
    async with Core(to(openai(first), anthropic(second))) as core:
        with pytest.raises(GatewayError) as failed:
            await core.chat(**options)
        assert failed.value.kind is Kind.UPSTREAM_UNAVAILABLE, "what happened, not what a fallback cannot do"
    async with Core(to(anthropic(second), anthropic(second, name="other"))) as core:
        with pytest.raises(GatewayError) as unsaid:
            await core.chat(**options)
        assert core.attempts == 0
    assert unsaid.value.kind is Kind.UNSUPPORTED_PARAMETER
    assert len(second.calls) == 0


async def test_weights_are_shares_of_the_calls_and_zero_is_only_a_fallback(providers: Three) -> None:
    first, second, third = providers
    upstreams = (openai(first, name="a", weight=3), openai(second, name="b"), openai(third, name="spare", weight=0))
    async with Core(to(*upstreams, strategy="weighted")) as core:
        served = [await core.ask(False) for _ in range(200)]
        # seeded; three standard deviations of a fair draw are 18
        assert abs(served.count("a") - 150) <= 18
        assert served.count("spare") == 0
        first.script = second.script = lambda call: error_reply(call, 500, "oops")
        async with Core(to(*upstreams, strategy="weighted", retries=Retries(budget=2))) as both:
            assert await both.ask(False) == "spare"


async def test_the_least_loaded_upstream_is_asked(providers: Three) -> None:
    first, second, _ = providers
    gate = first.gate()
    first.script = lambda call: Reply(before=gate, parts=(b"{}",))
    upstreams = (openai(first, name="slow"), openai(second, name="fast"))
    async with Core(to(*upstreams, strategy="least_in_flight", retries=Retries(budget=0))) as core:
        waiting = []
        while not first.calls:  # ties are drawn
            waiting.append(asyncio.ensure_future(core.ask(False)))
            await reached(lambda: waiting[-1].done() or first.calls)
        assert [await core.ask(False) for _ in range(8)] == ["fast"] * 8
        gate.open()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert len(first.calls) == 1


async def test_two_upstreams_of_one_provider_have_different_names(providers: Three) -> None:
    first, second, third = providers
    first.script = second.script = lambda call: error_reply(call, 500, "oops")
    same_model = openai(first), openai(second), openai(third, model="gpt-other")
    async with Core(to(*same_model, retries=Retries(budget=2))) as core:
        assert await core.ask(False) == "openai/gpt-other"
        shown = {sample.labels["upstream"] for sample in core.samples("sidecar_upstream_ejected")}
    assert shown == {"openai/gpt-test", "openai/gpt-test#2", "openai/gpt-other"}
