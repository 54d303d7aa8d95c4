"""Limits and budgets as callers and operators meet them: whatever way a call came by, over workers, and over a restart."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.cli.running import Running
from tests.processes import reached
from tests.provider import Provider, data, sse_reply
from tests.stack.stack import Stack

LIMIT = 4
DEADLINE_S = 30.0


def config(provider: Provider) -> str:
    """Routes to the simulator: `daily` (LIMIT requests a day), `quick` (one in four seconds), `poor` (a tenth of a cent)."""
    extras = {
        "daily": f"limits: [{{requests: {LIMIT}, per: day}}, {{tokens: 1000000, per: day}}]",
        "quick": "limits: [{requests: 1, per: 4 seconds}]",
        "single": "limits: [{concurrent: 1}]",
        "poor": "price: {input: 100, output: 100}\n    budgets: [{dollars: 0.001, per: month}]",
    }
    lines = ["routes:"]
    for name, extra in extras.items():
        model = f"{{provider: openai-compatible, name: sim, config: {{base_url: {provider.base_url}}}}}"
        lines += [f"  - name: {name}", "    route_type: llm/v1/chat", f"    model: {model}", f"    {extra}"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("limited"), config(simulator)) as running:
        yield running


def request(route: str) -> pb.ChatRequest:
    return pb.ChatRequest(route=route, messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])])


async def ask(target: str, route: str) -> tuple[grpc.StatusCode, dict[str, Any]]:
    """Over a channel of its own; the status and the trailing metadata."""
    async with grpc.aio.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = inference_pb2_grpc.InferenceServiceStub(channel).Chat(request(route), timeout=DEADLINE_S)
        code = await call.code()
        return code, dict(await call.trailing_metadata() or ())


def post(stack: Stack, route: str) -> Any:
    with stack.http() as http:
        body = {"model": route, "messages": [{"role": "user", "content": "hi"}]}
        return http.post("/v1/chat/completions", json=body)


async def test_rest_and_grpc_and_all_workers_share_one_bucket(limited: Stack) -> None:
    let_in = 0
    left = []
    for _ in range(2):
        for worker in ("s0.sock", "s1.sock"):
            code, trailers = await ask(f"unix:{limited.state / 'run' / worker}", "daily")
            let_in += code is grpc.StatusCode.OK
            assert code in (grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED)
            left.append(int(trailers["x-ratelimit-remaining-requests"]))
        answer = await asyncio.to_thread(post, limited, "daily")
        let_in += answer.status_code == 200
        assert answer.status_code in (200, 429)
        left.append(int(answer.headers["x-ratelimit-remaining-requests"]))
        assert answer.headers["x-ratelimit-limit-requests"] == str(LIMIT)
        assert answer.headers["x-ratelimit-limit-tokens"] == "1000000"
        assert 990_000 < int(answer.headers["x-ratelimit-remaining-tokens"]) < 1_000_000
    assert let_in == LIMIT
    assert left == [3, 2, 1, 0, 0, 0]
    assert limited.metric("sidecar_limited_total", route="daily", unit="requests") == 2


async def test_after_the_time_a_refusal_names_the_call_passes(limited: Stack) -> None:
    """By REST and by gRPC; nobody else calls the route."""
    end_s = time.monotonic() + DEADLINE_S
    while (answer := await asyncio.to_thread(post, limited, "quick")).status_code == 200:
        assert time.monotonic() < end_s
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    await asyncio.sleep(int(answer.headers["retry-after"]))  # what a client does with it
    assert (await asyncio.to_thread(post, limited, "quick")).status_code == 200

    target = f"unix:{limited.state / 'run' / 's0.sock'}"
    while (answered := await ask(target, "quick"))[0] is grpc.StatusCode.OK:
        assert time.monotonic() < end_s + DEADLINE_S
    code, trailers = answered
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    wait_s = retry_info_s(trailers["grpc-status-details-bin"])
    assert 0 < wait_s <= 4.01
    assert int(trailers["grpc-retry-pushback-ms"]) >= 1
    await asyncio.sleep(wait_s)
    assert (await ask(target, "quick"))[0] is grpc.StatusCode.OK


def retry_info_s(details: bytes) -> float:
    info = error_details_pb2.RetryInfo()
    for detail in status_pb2.Status.FromString(details).details:
        if detail.Unpack(info):
            return float(info.retry_delay.ToNanoseconds()) / 1e9
    raise AssertionError("no RetryInfo")


async def test_the_place_of_a_call_comes_back_when_its_worker_is_killed(limited: Stack, simulator: Provider) -> None:
    run = limited.state / "run"
    gate = simulator.gate()
    simulator.script = lambda call: sse_reply([piece("one"), gate])
    async with grpc.aio.insecure_channel(f"unix:{run / 's0.sock'}") as channel:
        stream = inference_pb2_grpc.InferenceServiceStub(channel).StreamChat(request("single"), timeout=60)
        await stream.read()
        simulator.script = None
        assert (await ask(f"unix:{run / 's1.sock'}", "single"))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        pid = int((run / "s0.sock").readlink().stem.partition("-")[2])
        os.kill(pid, signal.SIGKILL)
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE
    end_s = time.monotonic() + DEADLINE_S
    while (await ask(f"unix:{run / 's1.sock'}", "single"))[0] is not grpc.StatusCode.OK:
        assert time.monotonic() < end_s, "the place did not come back"


def piece(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return data({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


async def test_what_was_spent_survives_a_restart_and_is_told(tmp_path: Path, simulator: Provider) -> None:
    with Running("serve", tmp_path, config(simulator)) as first:
        target, calls = first.env["SIDECAR_GRPC_LOCAL"], 0
        while (answered := await ask(target, "poor"))[0] is grpc.StatusCode.OK:
            calls += 1
            assert calls < 100
        assert calls > 0
        assert b"BUDGET_EXCEEDED" in answered[1]["grpc-status-details-bin"]
        assert answered[1]["grpc-retry-pushback-ms"] == "-1"

        def usage_lines() -> list[dict[str, Any]]:
            return [json.loads(line) for line in first.call("usage", "--json").stdout.splitlines()]

        await reached(lambda: sum(line["calls"] for line in usage_lines()) == calls, DEADLINE_S, "usage of all calls")
        assert first.process.stop() == 0
    lines = usage_lines()
    assert {(line["consumer"], line["route"]) for line in lines} == {("local", "poor")}
    assert sum(line["calls"] for line in lines) == calls
    tokens = sum(line["input_tokens"] + line["output_tokens"] for line in lines)
    assert sum(line["micro_dollars"] for line in lines) == 100 * tokens >= 1000
    assert "local" in first.call("usage", "--since", "2d").stdout

    with Running("serve", tmp_path, config(simulator)) as second:
        code, _ = await ask(second.env["SIDECAR_GRPC_LOCAL"], "poor")
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await ask(second.env["SIDECAR_GRPC_LOCAL"], "daily"))[0] is grpc.StatusCode.OK
