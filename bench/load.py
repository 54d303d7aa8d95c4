"""The load generator: a separate process, given one JSON argument, that prints one line of JSON.

It warms up, prints "ready", waits for a line on stdin (so that the benchmark can read the CPU clocks), runs, and
prints the result. Open loop: call i is due at i / rate and its latency counts from then, so stalls show. Closed
loop: always `in_flight` calls.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
import grpc
import uvloop

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc as pb_grpc

PROMPT = "What is the answer to the great question of life, the universe and everything? Answer in one short sentence."
CALL_TIMEOUT_S = 30.0
# A channel is one connection and so reaches one worker: several spread the load over the workers.
GRPC_CHANNELS = 8
WARM_UP_CALLS = 200
STREAM_END = "[DONE]"
_END_BYTES = 512  # the last event of a stream, whatever a gateway adds to it


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. `target`: an http(s) base URL ending in /v1, or host:port for gRPC. `rate_per_s` 0 means closed
    loop.

    `stream_end`: what a complete stream has near its end. `limit_s`: a closed loop starts no call later; 0: it makes
    all of them.
    """

    protocol: str  # "rest" or "grpc"
    target: str
    route: str
    streamed: bool
    calls: int
    in_flight: int
    rate_per_s: float = 0.0
    api_key: str = ""
    ca_file: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    stream_end: str = STREAM_END
    limit_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """Durations in seconds; `first_s` is until the first piece of the answer. `errors` counts failures by cause."""

    total_s: list[float]
    first_s: list[float]
    errors: dict[str, int]
    elapsed_s: float


Call = Callable[[int], Awaitable[float]]  # number of the call -> time.perf_counter() of its first piece


async def rest_call(plan: Plan, stack: AsyncExitStack) -> Call:
    trusted: ssl.SSLContext | bool = ssl.create_default_context(cafile=plan.ca_file) if plan.ca_file else True
    connector = aiohttp.TCPConnector(limit=0, ssl=trusted)
    headers = {"content-type": "application/json", **plan.headers}
    if plan.api_key:
        headers["authorization"] = f"Bearer {plan.api_key}"
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout)
    )
    question: dict[str, Any] = {"model": plan.route, "messages": [{"role": "user", "content": PROMPT}]}
    if plan.streamed:
        question["stream"] = True
    body = json.dumps(question).encode()
    url = f"{plan.target}/chat/completions"
    end = plan.stream_end.encode()

    async def call(_: int) -> float:
        async with session.post(url, data=body) as answer:
            first = await answer.content.readany()
            first_s = time.perf_counter()
            whole = first + await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"status {answer.status}: {whole[:200]!r}")
            if plan.streamed and end not in whole[-_END_BYTES:]:
                raise RuntimeError(f"stream without {plan.stream_end}")
            return first_s

    return call


async def grpc_call(plan: Plan, stack: AsyncExitStack) -> Call:
    options = [("grpc.use_local_subchannel_pool", 1)]
    stubs = []
    for _ in range(GRPC_CHANNELS):
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(plan.target, options=options))
        stubs.append(pb_grpc.InferenceServiceStub(channel))
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=PROMPT)])
    request = pb.ChatRequest(route=plan.route, messages=[message])

    async def unary(number: int) -> float:
        await stubs[number % GRPC_CHANNELS].Chat(request, timeout=CALL_TIMEOUT_S)
        return time.perf_counter()

    async def streamed(number: int) -> float:
        first_s = 0.0
        async for _ in stubs[number % GRPC_CHANNELS].StreamChat(request, timeout=CALL_TIMEOUT_S):
            first_s = first_s or time.perf_counter()
        return first_s

    return streamed if plan.streamed else unary


class Run:
    """The calls of one plan and their results."""

    def __init__(self, plan: Plan, call: Call) -> None:
        self._plan = plan
        self._call = call
        self._total_s: list[float] = []
        self._first_s: list[float] = []
        self._errors: dict[str, int] = {}

    async def _one(self, number: int, due_s: float) -> None:
        try:
            first_s = await self._call(number)
        except (RuntimeError, aiohttp.ClientError, TimeoutError, grpc.aio.AioRpcError) as failure:
            message = (
                failure.code().name if isinstance(failure, grpc.aio.AioRpcError) else str(failure) or repr(failure)
            )
            self._errors[message[:200]] = self._errors.get(message[:200], 0) + 1
            return
        self._total_s.append(time.perf_counter() - due_s)
        self._first_s.append(first_s - due_s)

    async def closed(self, calls: int) -> None:
        numbers = iter(range(calls))
        end_s = time.perf_counter() + (self._plan.limit_s or float("inf"))

        async def one_after_another() -> None:
            for number in numbers:
                if (now_s := time.perf_counter()) > end_s:
                    return
                await self._one(number, now_s)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._plan.in_flight):
                group.create_task(one_after_another())

    async def open(self, calls: int) -> None:
        start_s = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(calls):
                due_s = start_s + number / self._plan.rate_per_s
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                group.create_task(self._one(number, due_s))

    def result(self, elapsed_s: float) -> Result:
        return Result(self._total_s, self._first_s, self._errors, elapsed_s)


async def generate(plan: Plan) -> Result:
    async with AsyncExitStack() as stack:
        call = await (grpc_call if plan.protocol == "grpc" else rest_call)(plan, stack)
        await Run(plan, call).closed(min(WARM_UP_CALLS, plan.calls))
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        run = Run(plan, call)
        start_s = time.perf_counter()
        await (run.open(plan.calls) if plan.rate_per_s else run.closed(plan.calls))
        return run.result(time.perf_counter() - start_s)


def main() -> None:
    result = uvloop.run(generate(Plan(**json.loads(sys.argv[1]))))
    # Not print: with PYTHONUNBUFFERED it writes once, and what a pipe does not take of a long line is lost.
    with open(1, "wb", closefd=False) as out:
        out.write(json.dumps(asdict(result)).encode() + b"\n")


if __name__ == "__main__":
    main()
