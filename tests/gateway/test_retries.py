"""Further attempts: how many, when, and when none. The provider's own count of calls is the judge."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Admission, Retries, Timeouts
from sidecar.domain.status import client_may_retry
from tests.gateway.in_process import Core, openai, to
from tests.processes import reached
from tests.provider import Call, End, Provider, Reply, data, error_reply, sse_reply

BOTH = pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
QUICK: dict[str, Any] = {"backoff_s": 0.01, "backoff_max_s": 0.1}
# Longer than anything else in these tests takes.
NEVER_S = 60.0


def piece(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return data({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


@BOTH
@pytest.mark.parametrize("budget", [0, 1, 3])
async def test_one_call_asks_a_failing_provider_exactly_as_often_as_its_budget_allows(
    provider: Provider, budget: int, streamed: bool
) -> None:
    provider.script = lambda call: error_reply(call, 503, "down")
    async with Core(to(openai(provider), retries=Retries(budget, **QUICK))) as core:
        with pytest.raises(GatewayError) as caught:
            await core.ask(streamed)
        assert core.attempts == len(provider.calls) == budget + 1
        assert core.count("sidecar_retries_total", reason="upstream_unavailable") == budget
        assert core.count("sidecar_requests_total") == 1
    assert caught.value.retried is (budget > 0)
    assert client_may_retry(caught.value) is (budget == 0)


@BOTH
async def test_a_failure_that_passes_is_not_noticed_by_the_caller(provider: Provider, streamed: bool) -> None:
    provider.script = lambda call: error_reply(call, 500, "oops") if len(provider.calls) == 1 else None
    async with Core(to(openai(provider), retries=Retries(**QUICK))) as core:
        assert await core.ask(streamed) == "openai"
        assert core.count("sidecar_requests_total", outcome="ok") == 1
        assert core.count("sidecar_upstream_requests_total", outcome="ok") == 1
        assert core.count("sidecar_upstream_requests_total", outcome="upstream_unavailable") == 1
    assert len(provider.calls) == 2


@BOTH
@pytest.mark.parametrize("status", [400, 401, 402, 404, 408, 413, 422, 504])
async def test_the_same_upstream_is_not_asked_again_for_what_does_not_pass(
    provider: Provider, status: int, streamed: bool
) -> None:
    provider.script = lambda call: error_reply(call, status, "no")
    async with Core(to(openai(provider), retries=Retries(5, **QUICK))) as core:
        with pytest.raises(GatewayError) as caught:
            await core.ask(streamed)
    assert len(provider.calls) == 1
    assert not caught.value.retried


@BOTH
async def test_the_providers_retry_after_is_waited_for(provider: Provider, streamed: bool) -> None:
    limited = (("retry-after-ms", "300"),)
    provider.script = lambda call: error_reply(call, 429, "slow", headers=limited) if call.id == 0 else None
    async with Core(to(openai(provider))) as core:
        await core.ask(streamed)
    first, second = provider.calls
    assert first.ended_s is not None
    assert second.received_s - first.ended_s >= 0.3


@BOTH
@pytest.mark.parametrize("within_s", [None, 5.0], ids=["longer than the longest back-off", "past the deadline"])
async def test_an_attempt_that_would_come_too_late_is_not_waited_for(
    provider: Provider, within_s: float | None, streamed: bool
) -> None:
    named = (("retry-after", "9" if within_s is None else "6"),)
    provider.script = lambda call: error_reply(call, 429, "slow", headers=named)
    began_s = time.monotonic()
    async with Core(to(openai(provider))) as core:
        with pytest.raises(GatewayError) as caught:
            await core.ask(streamed, within_s=within_s)
    assert time.monotonic() - began_s < 4
    assert len(provider.calls) == 1
    assert caught.value.retry_after_s == float(named[0][1])
    assert client_may_retry(caught.value), "the client may have the time"


@BOTH
async def test_no_attempt_begins_after_the_deadline(provider: Provider, streamed: bool) -> None:
    provider.script = lambda call: error_reply(call, 503, "down")
    retries = Retries(1000, backoff_s=0.02, backoff_max_s=0.02)
    async with Core(to(openai(provider), retries=retries)) as core:
        deadline_s = time.monotonic() + 1.0
        with pytest.raises(GatewayError):
            await core.ask(streamed, within_s=1.0)
    assert len(provider.calls) > 2
    # a loaded machine may be late to read what was sent in time; without the rule a thousand attempts would take 10 s
    assert max(call.received_s for call in provider.calls) < deadline_s + 1.0


async def test_after_output_nothing_is_asked_again(provider: Provider) -> None:
    provider.script = lambda call: sse_reply([piece("a")], end=End.CUT)
    async with Core(to(openai(provider), retries=Retries(5, **QUICK))) as core:
        for _ in range(20):
            with pytest.raises(GatewayError) as caught:
                await core.stream()
            assert caught.value.kind is Kind.UPSTREAM_INTERRUPTED
    assert len(provider.calls) == 20


@BOTH
async def test_a_kept_connection_that_had_ended_is_replaced_beside_the_budget(
    provider: Provider, streamed: bool
) -> None:
    provider.script = lambda call: (
        Reply(head=False, end=End.RST) if call.connection.calls > 1 else error_reply(call, 503, "down")
    )
    async with Core(to(openai(provider), retries=Retries(0))) as core:
        for _ in range(3):
            with pytest.raises(GatewayError) as caught:
                await core.ask(streamed)
            assert caught.value.status == 503, "the fresh connection's answer"
        assert core.attempts == 3
        assert core.attempts + core.resent == len(provider.calls)


async def test_a_connection_lost_long_after_the_request_is_an_attempt_and_not_sent_anew(provider: Provider) -> None:
    """The provider has read it by then, and may have worked on it."""
    gate = provider.gate()
    provider.script = lambda call: Reply(before=gate, head=False, end=End.CUT) if call.connection.calls > 1 else None
    async with Core(to(openai(provider), retries=Retries(0))) as core:
        await core.chat()
        waiting = asyncio.ensure_future(core.chat())
        await provider.until(lambda p: len(p.calls) == 2)
        asyncio.get_running_loop().call_later(1.2, gate.open)  # what counts as long
        with pytest.raises(GatewayError) as caught:
            await waiting
        assert core.resent == 0
    assert caught.value.kind is Kind.UPSTREAM_UNAVAILABLE
    assert len(provider.calls) == 2


@BOTH
@pytest.mark.parametrize("where", ["back-off", "second attempt", "queue"])
async def test_a_caller_that_leaves_leaves_nothing_behind(
    provider: Provider, where: str, streamed: bool, no_task_left: None
) -> None:
    gate = provider.gate()

    def script(call: Call) -> Reply:
        if call.id == 0 and where != "queue":
            named = (("retry-after", "5"),) if where == "back-off" else ()
            return error_reply(call, 429 if where == "back-off" else 503, "later", headers=named)
        return Reply(before=gate)

    provider.script = script
    settings = to(openai(provider), retries=Retries(1, 0.01, 8.0), admission=Admission(1, queue_max=1, queue_s=NEVER_S))
    async with Core(settings) as core:
        holding = asyncio.ensure_future(core.ask(streamed)) if where == "queue" else None
        if holding is not None:
            await provider.until(lambda p: p.calls)
        leaving = asyncio.ensure_future(core.ask(streamed))
        gates = core.gateway.admissions
        if where == "queue":
            await reached(lambda: gates.waiting == 1)
        else:
            await provider.until(lambda p: len(p.calls) == (1 if where == "back-off" else 2) and p.calls[0].ended_s)
        if where == "back-off":
            await reached(lambda: core.count("sidecar_retries_total") == 1)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        if holding is not None:
            assert gates.taken == 1
            holding.cancel()
            await asyncio.wait([holding])
        await provider.until(lambda p: all(call.outcome is not None for call in p.calls))
        assert (gates.taken, gates.waiting) == (0, 0)
        assert core.count("sidecar_requests_total", outcome="cancelled") == (2 if where == "queue" else 1)
        assert core.count("sidecar_in_flight") == 0
        assert core.attempts == len(provider.calls)
    await provider.until(lambda p: not p.open_connections)


async def test_the_idle_clock_stands_still_while_the_caller_is_slow(provider: Provider) -> None:
    gate = provider.gate()
    provider.script = lambda call: sse_reply([piece("a"), gate, piece("b"), data({"id": "c", "object": "x", "created": 1,
        "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), b"data: [DONE]\n\n"])  # fmt: skip
    texts = []
    async with Core(to(openai(provider), timeouts=Timeouts(idle_s=1.0))) as core:
        async with core.gateway.stream(core.call(stream=True)) as stream:
            async for chunks in stream:
                assert isinstance(chunks, list)
                texts += [chunk.choices[0].delta.content for chunk in chunks]
                if texts == ["a"]:
                    await asyncio.sleep(1.3)  # the caller's own slowness: more than the idle limit
                    gate.open()
        assert core.count("sidecar_requests_total", outcome="ok") == 1
    assert "".join(texts) == "ab"


async def test_the_idle_clock_runs_while_the_provider_is_silent(provider: Provider) -> None:
    """Positive control of the one above, and of a body that stops half-way."""
    gate = provider.gate()
    provider.script = lambda call: sse_reply([piece("a"), gate])
    async with Core(to(openai(provider), timeouts=Timeouts(idle_s=0.3), retries=Retries(0))) as core:
        with pytest.raises(GatewayError) as streamed:
            await core.stream()
        provider.script = lambda call: Reply(parts=(b'{"id":', gate, b"1}"))
        with pytest.raises(GatewayError) as whole:
            await core.chat()
        await provider.until(lambda p: not p.open_connections)
    assert streamed.value.kind is whole.value.kind is Kind.UPSTREAM_TIMEOUT


@BOTH
async def test_accounting_closes_over_a_mixture_of_failures(provider: Provider, streamed: bool) -> None:
    """Provider calls = attempts + what was sent anew; one outcome for each call."""
    faults = [
        lambda call: error_reply(call, 503, "down"),
        lambda call: error_reply(call, 429, "slow"),
        lambda call: error_reply(call, 400, "bad"),
        lambda call: Reply(head=False, end=End.RST),
        lambda call: Reply(head=False, end=End.CUT),
        lambda call: sse_reply([piece("a")], end=End.CUT),
        lambda call: None,
    ]
    provider.script = lambda call: faults[call.id % len(faults)](call)  # type: ignore[no-untyped-call]
    async with Core(to(openai(provider), retries=Retries(2, **QUICK))) as core:
        results = await asyncio.gather(*(core.ask(streamed) for _ in range(60)), return_exceptions=True)
        assert all(isinstance(each, str | GatewayError) for each in results)
        assert drifts(core, provider, results) == []
        assert core.gateway.admissions.taken == 0


def drifts(core: Core, provider: Provider, results: list[Any]) -> list[str]:
    """What does not add up between callers, counters and provider."""
    good = sum(isinstance(each, str) for each in results)
    again = core.count("sidecar_retries_total") - core.resent
    sums = {
        "calls": (core.count("sidecar_requests_total"), len(results)),
        "good answers": (core.count("sidecar_requests_total", outcome="ok"), good),
        "provider calls": (core.attempts + core.resent, len(provider.calls)),
        "attempts": (core.attempts, len(results) + again),
        "good attempts": (core.count("sidecar_upstream_requests_total", outcome="ok"), good),
    }
    return [f"{name}: {counted:.0f}, not {real:.0f}" for name, (counted, real) in sums.items() if counted != real]


async def test_a_planted_double_count_is_found(provider: Provider) -> None:
    """Positive control of the sums above."""
    async with Core(to(openai(provider))) as core:
        results = [await core.ask(False)]
        assert drifts(core, provider, results) == []
        core.metrics.upstream_requests("openai", "ok").inc()
        assert len(drifts(core, provider, results)) == 3
        core.metrics.requests("chat", "chat", "local", "ok").inc()
        assert len(drifts(core, provider, results)) == 5


@BOTH
async def test_a_key_that_a_provider_quotes_is_not_shown_after_the_first_output_either(
    provider: Provider, streamed: bool
) -> None:
    """The error of a stream under way takes another path than that of an attempt without output."""
    text = "the key sk-o is bad"
    error = data({"error": {"message": text, "type": "server_error", "code": None}})
    provider.script = lambda call: sse_reply([piece("a"), error]) if streamed else error_reply(call, 500, text)
    async with Core(to(openai(provider), retries=Retries(0))) as core:
        with pytest.raises(GatewayError) as caught:
            await core.ask(streamed)
    assert caught.value.message == str(caught.value) == "the key *** is bad"
