"""Calls that fail, end early or are made again: what the caller gets, and what the provider saw."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from llm_gateway_client import (
    BadAnswer,
    Client,
    Interrupted,
    InvalidRequest,
    NotFound,
    QuotaExhausted,
    RateLimited,
    Retries,
    SidecarError,
    TargetError,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unreachable,
    UpstreamRefused,
)

from tests.client.entrances import Entrance
from tests.processes import free_port
from tests.provider import Call, End, Provider, Reply, data, error_reply, json_reply, sse_reply
from tests.stack.stack import Stack

pytestmark = pytest.mark.slow
NO_RETRIES: dict[str, Any] = {"retries": None}
TIMEOUT_S = 1.0


async def failure(entrance: Entrance, method: str, *arguments: Any, **keywords: Any) -> SidecarError:
    with pytest.raises(SidecarError) as raised:
        await entrance.call(method, *arguments, **keywords)
    return raised.value


# what the provider answers, class, kind, HTTP status, gRPC code
FAILURES: dict[str, tuple[Any, type[SidecarError], str, int, str]] = {
    "its 400": (
        lambda _: error_reply(_, 400, "too long", code="context_length_exceeded"),
        InvalidRequest, "context_length_exceeded", 400, "INVALID_ARGUMENT",
    ),
    "its 401": (
        lambda _: error_reply(_, 401, "bad key", code="invalid_api_key"),
        UpstreamRefused, "upstream_rejected_credentials", 424, "FAILED_PRECONDITION",
    ),
    "its 429": (
        lambda _: error_reply(_, 429, "slow down", headers=(("retry-after", "70"),)),
        RateLimited, "rate_limited", 429, "RESOURCE_EXHAUSTED",
    ),
    "its quota": (
        lambda _: error_reply(_, 429, "pay", code="insufficient_quota"),
        QuotaExhausted, "quota_exhausted", 429, "RESOURCE_EXHAUSTED",
    ),
    "its 503": (lambda _: error_reply(_, 503, "down"), Unavailable, "upstream_unavailable", 503, "UNAVAILABLE"),
    "nonsense": (lambda _: json_reply({"no": "chat"}), BadAnswer, "upstream_protocol", 502, "INTERNAL"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_is_the_same_exception_by_every_entrance(
    entrance: Entrance, name: str, simulator: Provider
) -> None:
    script, class_, kind, status, code = FAILURES[name]
    simulator.script = script
    for method in ("chat", "stream_chat"):
        error = await failure(entrance, method, "chat", "x", client=NO_RETRIES)
        assert type(error) is class_, repr(error)
        assert (error.kind, error.http_status, error.grpc_code) == (kind, status, code)
        assert error.message
        assert error.request_id
        if name == "its 429":
            assert error.retry_after_s == pytest.approx(70, abs=0.5)


async def test_the_callers_own_mistakes_name_the_member(entrance: Entrance) -> None:
    error = await failure(entrance, "chat", "no-such-route", "x")
    assert (type(error), error.kind, error.param) == (NotFound, "route_not_found", "model")
    error = await failure(entrance, "chat", "claude", "x", n=2)
    assert (type(error), error.kind, error.param) == (InvalidRequest, "unsupported_parameter", "n")


@pytest.mark.parametrize("name", ["sync-rest", "async-rest", "sync-grpcs", "async-stub"])
async def test_time_runs_out_as_timed_out_and_the_provider_is_left(
    name: str, stack: Stack, simulator: Provider
) -> None:
    gate = simulator.gate()
    simulator.script = lambda call: sse_reply([gate, data("[DONE]")]) if call.json.get("stream") else _held(gate)
    for method in ("chat", "stream_chat"):
        error = await failure(Entrance(name, stack), method, "chat", "x", timeout_s=TIMEOUT_S, client=NO_RETRIES)
        assert isinstance(error, TimedOut), repr(error)
        await simulator.until(lambda p: all(call.outcome is not None for call in p.calls))


def _held(gate: Any) -> Any:
    return Reply(before=gate, parts=(b"{}",))


async def test_leaving_a_stream_closes_the_providers_socket(entrance: Entrance, simulator: Provider) -> None:
    gate = simulator.gate()

    def reply(call: Call) -> Any:
        choice = {"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}
        return sse_reply([data({"id": "s", "choices": [choice]}), gate, data("[DONE]")])

    simulator.script = reply
    if entrance.is_async:
        async with entrance.asynchronous() as client, client.stream_chat("chat", "x") as stream:
            assert (await anext(stream)).text == "a"
            await stream.aclose()
            await simulator.until(lambda p: p.calls[-1].outcome == "peer_closed")
    else:
        with entrance.sync() as other, other.stream_chat("chat", "x") as chunks:
            assert next(chunks).text == "a"
            chunks.close()
            await simulator.until(lambda p: p.calls[-1].outcome == "peer_closed")


@pytest.mark.parametrize("target", ["stub", "rest"])
async def test_cancelling_a_call_closes_the_providers_socket(target: str, stack: Stack, simulator: Provider) -> None:
    gate = simulator.gate()
    simulator.script = lambda _: _held(gate)
    async with Entrance(f"async-{target}", stack).asynchronous() as client:
        task = asyncio.create_task(client.chat("chat", "x"))
        await simulator.until(lambda p: p.calls and p.calls[-1].outcome is None and gate.waiting)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await simulator.until(lambda p: p.calls[-1].outcome == "peer_closed")


async def test_a_stream_that_breaks_off_is_interrupted_and_never_made_again(
    entrance: Entrance, simulator: Provider
) -> None:
    def reply(call: Call) -> Any:
        choice = {"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}
        return sse_reply([data({"id": "s", "choices": [choice]})], end=End.CUT)

    simulator.script = reply
    before = len(simulator.calls)
    error = await failure(entrance, "stream_chat", "chat", "x")
    assert isinstance(error, Interrupted), repr(error)
    assert len(simulator.calls) - before == 1


async def test_what_passes_is_tried_again_and_what_does_not_is_not(entrance: Entrance, simulator: Provider) -> None:
    before = len(simulator.calls)
    simulator.script = lambda call: _limited(call, "0") if call.id == before else None
    answer = await entrance.call("chat", "chat", "x")
    assert answer.text == "echo: x"
    assert len(simulator.calls) - before == 2

    for longer in ("3600", None):  # nobody waits an hour, and nobody guesses
        before = len(simulator.calls)
        simulator.script = lambda call, longer=longer: _limited(call, longer)
        assert isinstance(await failure(entrance, "chat", "chat", "x"), RateLimited)
        assert len(simulator.calls) - before == 1


def _limited(call: Call, seconds: str | None) -> Any:
    return error_reply(call, 429, "slow", headers=(("retry-after", seconds),) if seconds is not None else ())


async def test_tries_are_bounded(entrance: Entrance, simulator: Provider) -> None:
    before = len(simulator.calls)
    simulator.script = lambda call: _limited(call, "0")
    error = await failure(entrance, "stream_chat", "chat", "x", client={"retries": Retries(attempts_max=2)})
    assert isinstance(error, RateLimited)
    assert len(simulator.calls) - before == 2


async def test_no_gateway_is_unreachable() -> None:
    port = free_port()
    for target in (f"127.0.0.1:{port}", f"http://127.0.0.1:{port}", "unix:/nonexistent/grpc.sock"):
        with Client(target, retries=Retries(attempts_max=2)) as client:
            with pytest.raises(Unreachable) as raised:
                client.chat("chat", "x", timeout_s=60)
            assert raised.value.may_retry, raised.value


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("target", ["grpcs", "rest"])
async def test_wrong_credentials_are_unauthenticated_and_appear_nowhere(kind: str, target: str, stack: Stack) -> None:
    entrance = Entrance(f"{kind}-{target}", stack)
    secret = "wr0ng-pa55word"
    address = stack.url if target == "rest" else f"grpcs://{stack.grpc_front}"
    entrance.arguments = lambda: (address, {"user": "mallory", "password": secret, "ca": stack.ca})  # type: ignore[method-assign]
    error = await failure(entrance, "chat", "chat", "x")
    assert isinstance(error, Unauthenticated)
    assert secret not in repr(error) + str(error) + str(vars(error))
    restored = pickle.loads(pickle.dumps(error))
    assert (type(restored), vars(restored)) == (type(error), vars(error))


async def test_a_certificate_of_a_stranger_is_refused(stack: Stack) -> None:
    for target in (stack.url, f"grpcs://{stack.grpc_front}"):
        with Client(target, user="a", password="b") as client, pytest.raises(Unreachable):
            client.chat("chat", "x", timeout_s=60)


def test_a_credential_never_travels_in_clear() -> None:
    with pytest.raises(TargetError) as raised:
        Client("http://alice:s3cret@gateway.example:5000")
    assert "s3cret" not in str(raised.value)
