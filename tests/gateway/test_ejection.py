"""Breakers as a provider sees them: which calls still come, and when the first one comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Breaker, Retries, Snapshot, Timeouts, Upstream
from tests.gateway.in_process import Core, anthropic, openai, to
from tests.processes import reached
from tests.provider import End, Provider, Reply, data, error_reply, sse_reply

BOTH = pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
# Soon enough for a test that waits for it, late enough for what must happen before.
BREAKER = Breaker(consecutive_failures=3, open_s=0.5)
# Later than any test lives.
SHUT = Breaker(consecutive_failures=3, open_s=600.0)


@pytest.fixture
def pair() -> Iterator[tuple[Provider, Provider]]:
    with Provider() as first, Provider() as second:
        yield first, second


Two = tuple[Provider, Provider]


async def may_be_probed(core: Core, upstream: Upstream, breaker: Breaker) -> None:
    health = core.gateway.upstreams.health_of(upstream, breaker)
    assert health is not None
    await reached(lambda: health.circuit.admits(asyncio.get_running_loop().time()), what="the end of the ejection")


@BOTH
async def test_an_upstream_that_keeps_failing_is_left_alone_then_probed_by_one_call_and_taken_back(
    pair: Two, streamed: bool
) -> None:
    first, second = pair
    first.script = lambda call: error_reply(call, 503, "down")
    sick = openai(first)
    async with Core(to(sick, anthropic(second), breaker=BREAKER)) as core:
        for _ in range(3):
            assert await core.ask(streamed) == "anthropic"
        assert core.count("sidecar_upstream_ejected", upstream="openai") == 1
        assert core.count("sidecar_upstream_ejections_total", upstream="openai", reason="consecutive_failures") == 1
        count = len(first.calls)
        assert count == 3

        await may_be_probed(core, sick, BREAKER)  # still sick: one probe, and left alone again
        gate = first.gate()
        first.script = lambda call: Reply(503, before=gate, parts=(b"{}",))
        probe = asyncio.ensure_future(core.ask(streamed))
        await first.until(lambda p: len(p.calls) == count + 1)
        assert [await core.ask(streamed) for _ in range(5)] == ["anthropic"] * 5
        assert len(first.calls) == count + 1, "one call probes"
        gate.open()
        assert await probe == "anthropic"
        assert core.count("sidecar_upstream_ejections_total", reason="probe_failed") == 1

        await may_be_probed(core, sick, BREAKER)
        first.script = None
        assert [await core.ask(streamed) for _ in range(3)] == ["openai"] * 3
        assert core.count("sidecar_upstream_ejected", upstream="openai") == 0
        assert core.attempts == len(first.calls) + len(second.calls)


@BOTH
async def test_rejected_credentials_eject_at_once_and_are_counted_for_an_alert(pair: Two, streamed: bool) -> None:
    first, second = pair
    first.script = lambda call: error_reply(call, 401, "bad key")
    async with Core(to(openai(first), anthropic(second), breaker=SHUT)) as core:
        assert [await core.ask(streamed) for _ in range(4)] == ["anthropic"] * 4
        assert core.count("sidecar_upstream_credentials_rejected_total", route="chat", upstream="openai") == 1
        assert core.count("sidecar_upstream_ejections_total", reason="rejected_credentials") == 1
    assert len(first.calls) == 1


@BOTH
async def test_a_rate_limit_ejects_for_the_time_the_provider_named(pair: Two, streamed: bool) -> None:
    first, second = pair
    limited = (("retry-after-ms", "500"),)
    first.script = lambda call: error_reply(call, 429, "slow", headers=limited) if call.id == 0 else None
    upstream = openai(first)
    async with Core(to(upstream, anthropic(second), breaker=SHUT)) as core:
        assert await core.ask(streamed) == "anthropic"
        await core.ask(streamed)  # most likely too early still; the times below tell
        await may_be_probed(core, upstream, SHUT)
        assert await core.ask(streamed) == "openai"
    # Not from `ended_s`: the gateway may have read the answer before the provider's thread writes that down.
    assert first.calls[1].received_s - first.calls[0].received_s >= 0.5


async def test_the_last_upstream_is_never_left_alone(provider: Provider) -> None:
    provider.script = lambda call: error_reply(call, 503, "down")
    async with Core(to(openai(provider), breaker=SHUT, retries=Retries(0))) as core:
        for _ in range(10):
            with pytest.raises(GatewayError):
                await core.chat()
        provider.script = None
        assert await core.ask(False) == "openai"
    assert len(provider.calls) == 11


async def test_where_all_are_ejected_the_one_whose_time_is_over_first_is_asked(pair: Two) -> None:
    first, second = pair
    first.script = lambda call: error_reply(call, 429, "slow", headers=(("retry-after", "500"),))
    second.script = lambda call: error_reply(call, 429, "slow", headers=(("retry-after", "100"),))
    async with Core(to(openai(first), anthropic(second), breaker=SHUT)) as core:
        with pytest.raises(GatewayError):
            await core.chat()
        assert (len(first.calls), len(second.calls)) == (1, 1)
        with pytest.raises(GatewayError) as caught:
            await core.chat()
        assert (len(first.calls), len(second.calls)) == (1, 2), "one attempt: the honest answer comes fast"
    assert caught.value.kind is Kind.RATE_LIMITED


async def test_a_caller_in_a_hurry_does_not_eject_anybody(pair: Two) -> None:
    first, second = pair
    gate = first.gate()
    first.script = lambda call: Reply(before=gate)
    async with Core(to(openai(first), anthropic(second), breaker=SHUT)) as core:
        for _ in range(5):
            with pytest.raises(GatewayError):
                await core.chat(within_s=0.2)
        assert core.count("sidecar_upstream_ejected") == 0
        assert first.calls
        assert not second.calls
    # and the same silence under the route's own clock does
    async with Core(to(openai(first), anthropic(second), breaker=SHUT, timeouts=Timeouts(first_output_s=0.5))) as core:
        assert [await core.ask(True) for _ in range(4)] == ["anthropic"] * 4
        assert core.count("sidecar_upstream_ejected") == 1


async def test_streams_that_break_after_output_eject_too(pair: Two) -> None:
    first, second = pair
    piece = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
             "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}  # fmt: skip
    first.script = lambda call: sse_reply([data(piece)], end=End.CUT)
    async with Core(to(openai(first), anthropic(second), breaker=SHUT)) as core:
        for _ in range(3):
            with pytest.raises(GatewayError):
                await core.stream()
        assert await core.ask(True) == "anthropic"
    assert len(first.calls) == 3


async def test_a_reload_that_leaves_an_upstream_leaves_its_breaker(pair: Two) -> None:
    first, second = pair
    first.script = lambda call: error_reply(call, 401, "bad key")
    sick, well = openai(first), anthropic(second)
    before = to(sick, well, breaker=SHUT)
    async with Core(before) as core:
        assert await core.ask(False) == "anthropic"
        core.gateway.snapshot = Snapshot(dict(before.routes), "another")
        assert await core.ask(False) == "anthropic"
        assert len(first.calls) == 1, "still left alone"
        assert core.count("sidecar_upstream_ejected", upstream="openai") == 1

        first.script = None
        mended = replace(sick, key=anthropic(second).key)
        core.gateway.snapshot = to(mended, well, breaker=SHUT)
        assert core.count("sidecar_upstream_ejected") == 0
        assert await core.ask(False) == "openai", "a new key is a new upstream"
        assert core.gateway.upstreams.health_of(sick, SHUT) is None, "and the old one is forgotten"
