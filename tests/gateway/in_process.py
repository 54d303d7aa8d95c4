"""The gateway without its servicers, in the test's own loop: for what only its decisions and its provider calls show."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

from prometheus_client.samples import Sample

from adapters import Task
from sidecar.config.models import named
from sidecar.domain.call import Answer, Call
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Consumer, Route, Snapshot, Upstream
from sidecar.gateway.gateway import Gateway
from sidecar.telemetry import metric_memory
from sidecar.telemetry.metrics import Metrics, memory_of
from sidecar.upstream import UpstreamClient
from sidecar.v1 import inference_pb2 as pb
from tests.provider import Provider

SEED = 7


def openai(provider: Provider, **fields: Any) -> Upstream:
    """An upstream of the OpenAI format."""
    return Upstream(
        **{"provider": "openai", "model": "gpt-test", "base_url": provider.base_url, "key": Secret("sk-o"), **fields}
    )


def anthropic(provider: Provider, **fields: Any) -> Upstream:
    values: dict[str, Any] = {
        "provider": "anthropic",
        "model": "claude-test",
        "base_url": provider.root_url,
        "key": Secret("sk-a"),
    }
    return Upstream(**{**values, **fields})


def to(*upstreams: Upstream, **fields: Any) -> Snapshot:
    """One route "chat" to these upstreams, named as the config names them; `fields` are Route's."""
    own = [each.name for each in upstreams]
    route = Route("chat", Task.CHAT, upstreams if all(own) else named(upstreams), **fields)
    return Snapshot({"chat": route}, "0" * 12)


class Core:
    """async with Core(snapshot) as core: await core.chat()"""

    def __init__(self, snapshot: Snapshot) -> None:
        self._memory = metric_memory.make(0)
        self.metrics = Metrics(memory_of(self._memory))
        self._client = UpstreamClient()
        self.gateway = Gateway(snapshot, self._client, self.metrics, random.Random(SEED))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.gateway.close()
        await self._client.close()
        os.close(self._memory)

    def call(self, text: str = "hello", *, stream: bool = False, within_s: float | None = None, **fields: Any) -> Call:
        message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=text)])
        return Call(
            task=Task.CHAT,
            operation="stream_chat" if stream else "chat",
            route="chat",
            consumer=Consumer("local"),
            request_id="request-1",
            stream=stream,
            deadline=None if within_s is None else asyncio.get_running_loop().time() + within_s,
            request=pb.ChatRequest(route="chat", messages=[message], **fields),
        )

    async def chat(self, text: str = "hello", **fields: Any) -> Answer:
        return await self.gateway.unary(self.call(text, **fields))

    async def stream(self, text: str = "hello", **fields: Any) -> list[Any]:
        """All chunks."""
        return [chunk async for piece in self.pieces(self.call(text, stream=True, **fields)) for chunk in piece or ()]

    async def pieces(self, call: Call) -> AsyncGenerator[Any, None]:
        async with self.gateway.stream(call) as answer:
            async for piece in answer:
                yield piece

    async def ask(self, streamed: bool, **fields: Any) -> str:
        """Whole or streamed; the name of the upstream that served it."""
        return await self.end_of(self.call(stream=streamed, **fields))

    async def end_of(self, call: Call) -> str:
        """Reads the answer, whole or streamed; the name of the upstream that served it."""
        if not call.stream:
            return (await self.gateway.unary(call)).upstream
        async with self.gateway.stream(call) as answer:
            async for _ in answer:
                pass
        return answer.upstream

    def samples(self, name: str) -> list[Sample]:
        series, _ = metric_memory.read(self._memory)
        return [each for metric in metric_memory.merged([series]) for each in metric.samples if each.name == name]

    def count(self, name: str, **labels: str) -> float:
        """The sum of a metric's series with these labels."""
        return sum(each.value for each in self.samples(name) if labels.items() <= each.labels.items())

    @property
    def attempts(self) -> float:
        return self.count("sidecar_upstream_requests_total")

    @property
    def resent(self) -> float:
        return self.count("sidecar_retries_total", reason="stale_connection")
