"""Mixed traffic: calls that succeed, fail, are tried again, fall back, are refused, cut, and left, by every way in.

What becomes of a call is chosen by its route. Each ends as one Seen, which says nothing but what its caller saw.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc
import grpc.aio
import httpx

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.provider import Call, End, Provider, Reply, default_reply, error_reply
from tests.stack.stack import FRONT, LOCAL, Stack
from tests.worker.test_typed import details

# Dollars for a million tokens: whole micro-dollars a token, so that nothing is rounded.
INPUT_PRICE, OUTPUT_PRICE = 2, 6
TIGHT = 5
_STATUSES = {400: "invalid_request", 404: "route_not_found", 429: "rate_limited", 503: "upstream_unavailable"}
_TASKS = {"words": "completions", "vectors": "embeddings"}
# `silent` and `held` are left by their callers, before and within the answer.
BOTH = ("good", "claude", "again", "elsewhere", "down", "refusing", "tight", "none", "silent")
ONLY_STREAMED = ("cut", "held")
ONLY_REST = ("words", "vectors")
_LEFT = ("silent", "held")
_CALL_S = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller saw. Tokens are the answer's `usage`, 0 where it had none."""

    route: str
    outcome: str
    input_tokens: int = 0
    output_tokens: int = 0


def config(provider: Provider) -> str:
    """A route for each thing that can become of a call, priced."""
    routes = {name: "" for name in (*BOTH, *ONLY_STREAMED, *ONLY_REST) if name != "none"}
    routes["tight"] = f"limits: [{{requests: {TIGHT}, per: 31 days}}]"
    routes["elsewhere"] = f"fallbacks: [{{name: elsewhere-spare, {_upstream(provider)}}}]"
    lines = ["routes:"]
    for name, extra in routes.items():
        of = _anthropic(provider) if name == "claude" else _upstream(provider)
        lines += [
            f"  - name: {name}",
            f"    route_type: llm/v1/{_TASKS.get(name, 'chat')}",
            f"    model: {{name: {name}, {of}}}",
            f"    price: {{input: {INPUT_PRICE}, output: {OUTPUT_PRICE}}}",
            "    retries: {backoff: 10ms}",
            *([f"    {extra}"] if extra else []),
        ]
    return "\n".join(lines) + "\n"


def _upstream(provider: Provider) -> str:
    return f"provider: openai-compatible, config: {{base_url: {provider.base_url}, api_key: upstream-key}}"


def _anthropic(provider: Provider) -> str:
    keys = f"{{anthropic_api_base: {provider.root_url}, anthropic_api_key: anthropic-key}}"
    return f"provider: anthropic, config: {keys}"


def script(provider: Provider) -> Callable[[Call], Reply]:
    """Answers as the model's name says; a caller's own text tells its calls apart."""
    inputs: set[bytes] = set()

    def answer(call: Call) -> Reply:
        body = call.json
        healthy = default_reply(call, body)
        match body["model"]:
            case "again" if call.body not in inputs:
                inputs.add(call.body)
                return error_reply(call, 503, "busy")
            case "elsewhere" | "down":
                return error_reply(call, 503, "down")
            case "refusing":
                return error_reply(call, 400, "no")
            case "cut":
                size = sum(len(part) for part in healthy.parts[:3] if isinstance(part, bytes))
                return replace(healthy, cut_at=size, end=End.CUT)
            case "silent":
                return replace(healthy, before=provider.gate(_text(body)))
            case "held":
                parts = (*healthy.parts[:3], provider.gate(_text(body)), *healthy.parts[3:])
                return replace(healthy, parts=parts)
        return healthy

    return answer


def _text(body: Any) -> str:
    return str(body["messages"][-1]["content"])


class Traffic:
    """Calls of one test. `seen` has one entry for each that has ended."""

    def __init__(self, stack: Stack, provider: Provider, rest: httpx.AsyncClient, stubs: dict[str, Any]) -> None:
        self.seen: list[Seen] = []
        self._stack = stack
        self._provider = provider
        self._rest = rest
        self._stubs = stubs
        self._number = itertools.count()
        self._started: set[str] = set()

    async def run(self, count: int, at_once: int, chance: random.Random) -> None:
        """`count` calls, drawn evenly from everything that can become of one, by all ways."""
        plans = [
            (route, entrance, streamed)
            for route in BOTH
            for entrance in ("rest", LOCAL, FRONT)
            for streamed in (False, True)
        ]
        plans += [(route, entrance, True) for route in ONLY_STREAMED for entrance in ("rest", LOCAL, FRONT)]
        plans += [
            (route, "rest", streamed) for route, streamed in (("words", False), ("words", True), ("vectors", False))
        ]
        chosen = [plans[number % len(plans)] for number in range(count)]
        chance.shuffle(chosen)
        waiting = iter(chosen)

        async def caller() -> None:
            for route, entrance, streamed in waiting:
                self.seen.append(await self.call(route, entrance, streamed))

        await asyncio.gather(*(caller() for _ in range(at_once)))

    async def call(self, route: str, entrance: str, streamed: bool) -> Seen:
        text = f"number {next(self._number)}"
        if entrance == "rest":
            asking = self._by_rest(route, text, streamed)
        else:
            asking = self._by_grpc(route, entrance, text, streamed)
        if route not in _LEFT:
            return await asking
        return await self._left(route, text, asking)

    async def _left(self, route: str, text: str, asking: Awaitable[Seen]) -> Seen:
        """Goes away once the provider stands at its gate and, of `held`, the caller has heard something."""
        gate, task = self._provider.gate(text), asyncio.ensure_future(asking)
        try:
            async with asyncio.timeout(_CALL_S):
                while not task.done() and (not gate.arrived or (route == "held" and text not in self._started)):
                    await asyncio.sleep(0.005)
        finally:
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return Seen(route, "cancelled")

    def _spoke(self, text: str) -> None:
        """Some of the answer to this call has come."""
        self._started.add(text)

    async def _by_rest(self, route: str, text: str, streamed: bool) -> Seen:
        body: dict[str, Any] = {"model": route, "stream": streamed}
        path = _TASKS.get(route, "chat/completions")
        inputs = {"embeddings": {"input": text}, "completions": {"prompt": text}}
        body |= inputs.get(path, {"messages": [{"role": "user", "content": text}]})
        if path == "embeddings":
            del body["stream"]
        if streamed:
            body["stream_options"] = {"include_usage": True}
        async with self._rest.stream("POST", f"/v1/{path}", json=body) as answer:
            data = b""
            async for piece in answer.aiter_bytes():
                data += piece
                if b"content" in data:
                    self._spoke(text)
        if answer.status_code != 200:
            return Seen(route, _STATUSES.get(answer.status_code, f"HTTP {answer.status_code}: {data[:200]!r}"))
        if not streamed:
            return _seen_json(route, "ok", json.loads(data).get("usage"))
        events = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: ")]
        if events[-1] != b"[DONE]":
            broken = "upstream_interrupted" if b'"error"' in events[-1] else f"ended with {events[-1][:200]!r}"
            return Seen(route, broken)
        usages = [usage for event in events[:-1] if (usage := json.loads(event).get("usage"))]
        return _seen_json(route, "ok", usages[-1] if usages else None)

    async def _by_grpc(self, route: str, entrance: str, text: str, streamed: bool) -> Seen:
        message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=text)])
        request, metadata = pb.ChatRequest(route=route, messages=[message]), self._stack.metadata(entrance)
        usage = pb.Usage()
        method = self._stubs[entrance].StreamChat if streamed else self._stubs[entrance].Chat
        call = method(request, metadata=metadata, timeout=_CALL_S)
        try:
            if streamed:
                async for chunk in call:
                    self._spoke(text)
                    if chunk.HasField("usage"):
                        usage = chunk.usage
            else:
                usage = (await call).usage
        except grpc.aio.AioRpcError as error:
            info: Any = details(error).get("ErrorInfo")
            return Seen(route, info.reason.lower() if info is not None else f"{error.code()}: {error.details()}")
        finally:
            call.cancel()  # a cancelled task that was just given a message would keep its call
        return Seen(route, "ok", usage.input_tokens, usage.output_tokens)


def _seen_json(route: str, outcome: str, usage: Any) -> Seen:
    found = usage or {}
    return Seen(route, outcome, found.get("prompt_tokens", 0), found.get("completion_tokens", 0))


@asynccontextmanager
async def traffic(stack: Stack, provider: Provider) -> AsyncIterator[Traffic]:
    """async with traffic(stack, provider) as calls: await calls.run(...)"""
    provider.script = script(provider)
    async with stack.async_http() as rest, stack.channel(LOCAL) as stub, stack.channel(FRONT) as front:
        stubs = {
            entrance: inference_pb2_grpc.InferenceServiceStub(to) for entrance, to in ((LOCAL, stub), (FRONT, front))
        }
        yield Traffic(stack, provider, rest, stubs)
