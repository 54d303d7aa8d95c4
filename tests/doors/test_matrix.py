"""Doors x formats x features. Each cell looks at what the caller reads and at what the provider got; a cell that is refused
names why, and nobody is asked."""

from __future__ import annotations

import asyncio
import itertools
import json
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import grpc.aio
import pytest

from adapters import Task
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Retries, Route, Snapshot, Upstream
from tests.doors.callers import CALLERS, Caller
from tests.doors.neutral import PNG, QUESTION, SCHEMA, SYSTEM, TOOL, Answer, Ask
from tests.doors.providers import SEALED, SIGNATURE, calls_in, counts, effort_in, reply, results_in, schema_in, tools_in
from tests.faults.entrances import Clients
from tests.messages.providers import CALLS, CITY, TEXT, THOUGHT
from tests.processes import DEADLINE_S
from tests.provider import Call, Provider, error_reply
from tests.worker.running import WorkerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
KEY = "sk-canary-0123456789abcdef"
FORMATS = ("openai", "anthropic", "cohere", "asked", "local")
FEATURES = ("text", "tools", "thinking", "image", "schema", "stream", "error", "cancel")
# (format, feature) -> the members that have no place there; one of them is named.
REFUSED = {("local", "tools"): ("tools",), ("local", "thinking"): ("tools", "reasoning_effort")}
# Models that reason, where a provider's row looks at the name.
MODELS = {"openai": "gpt-5", "asked": "gpt-5"}
# What comes back to a provider of its own thought.
OWN_THOUGHT = {"anthropic": SIGNATURE, "cohere": THOUGHT, "asked": SEALED}
EFFORTS = {"openai": "high", "anthropic": "high", "cohere": "enabled", "asked": "high"}


@dataclass(slots=True)
class Cell:
    door: str
    format: str
    clients: Clients
    provider: Provider

    @property
    def caller(self) -> Caller:
        return CALLERS[self.door]

    async def ask(self, ask: Ask) -> Answer:
        """Raises AssertionError with the answer where it is no success."""
        request, caller = self.caller.request(ask), self.caller
        if self.door == "grpc":
            stub = self.clients.stubs[None]
            if not ask.stream:
                return caller.read(await stub.Chat(request))
            return caller.read_stream([chunk async for chunk in stub.StreamChat(request)])
        answer = await self.clients.http["nginx"].post(caller.path, json=request)
        assert answer.status_code == 200, answer.text
        return caller.read_stream(answer.text) if ask.stream else caller.read(answer.json())

    async def refusal(self, ask: Ask) -> tuple[object, str]:
        """Status (and, over REST, the type) and the text."""
        if self.door == "grpc":
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await self.ask(ask)
            return raised.value.code(), f"{raised.value.details()} {raised.value.trailing_metadata()}"
        answer = await self.clients.http["nginx"].post(self.caller.path, json=self.caller.request(ask))
        return (answer.status_code, answer.json()["error"]["type"]), answer.text

    @property
    def body(self) -> dict[str, Any]:
        """What the provider got last."""
        body: dict[str, Any] = self.provider.calls[-1].json
        return body


async def text(cell: Cell) -> None:
    answer = await cell.ask(Ask(cell.format))
    own = counts(cell.provider.calls[-1])
    assert (answer.text, answer.thought, answer.calls, answer.finish, answer.counts) == (TEXT, "", [], "stop", own)
    sent = json.dumps(cell.body)
    assert SYSTEM in sent
    assert QUESTION in sent
    assert cell.body["model"] == MODELS.get(cell.format, f"{cell.format}-model")
    assert tools_in(cell.body) == []


async def tools(cell: Cell, *, stream: bool = False, thinks: bool = False) -> tuple[Answer, Answer]:
    first = Ask(cell.format, tools=True, stream=stream, thinks=thinks)
    called = await cell.ask(first)
    assert [(call.name, call.arguments) for call in called.calls] == CALLS
    assert (called.text, called.finish) == (TEXT, "tool_calls")
    assert tools_in(cell.body) == [TOOL]
    last = await cell.ask(replace(first, after=called))
    assert (last.text, last.calls, last.finish) == (TEXT, [], "stop")
    assert calls_in(cell.body) == called.calls
    assert results_in(cell.body) == [(call.id, f"found {n}") for n, call in enumerate(called.calls)]
    assert tools_in(cell.body) == [TOOL]
    return called, last


async def thinking(cell: Cell) -> None:
    called, _ = await tools(cell, thinks=True)
    assert called.thought == THOUGHT
    # Callers of Messages are not known to mean it, so Cohere's models are not told.
    wanted = None if (cell.door, cell.format) == ("messages", "cohere") else EFFORTS[cell.format]
    assert effort_in(cell.body) == wanted
    kept = "asked" if cell.door == "responses" and cell.format == "openai" else cell.format
    if kept in OWN_THOUGHT:
        assert OWN_THOUGHT[kept] in json.dumps(cell.body)
    foreign = {SIGNATURE, SEALED} - {OWN_THOUGHT.get(kept)}
    assert [mark for mark in foreign if f'"{mark}"' in json.dumps(cell.body)] == []


async def image(cell: Cell) -> None:
    answer = await cell.ask(Ask(cell.format, image=True))
    assert answer.text == TEXT
    assert json.dumps(cell.body).count(PNG) == 1
    assert QUESTION in json.dumps(cell.body)


async def schema(cell: Cell) -> None:
    answer = await cell.ask(Ask(cell.format, schema=True))
    assert json.loads(answer.text) == CITY
    assert schema_in(cell.body)["properties"] == SCHEMA["properties"]


async def stream(cell: Cell) -> None:
    """As the whole answer, with thoughts and calls where there are any."""
    if (cell.format, "tools") in REFUSED:
        assert await cell.ask(Ask(cell.format, stream=True)) == await cell.ask(Ask(cell.format))
        return
    streamed, whole = await tools(cell, stream=True), await tools(cell)
    assert streamed == whole
    assert streamed[0].thought == THOUGHT


async def error(cell: Cell) -> None:
    cell.provider.script = lambda call: error_reply(call, 429, f"Slow down, {call.key}.")
    for streamed in (False, True):
        seen = len(cell.provider.calls)
        status, words = await cell.refusal(Ask(cell.format, stream=streamed))
        assert status == cell.caller.too_many
        assert "Slow down" in words
        assert KEY not in words
        assert len(cell.provider.calls) == seen + 1


def _has_more(seen: int, provider: Provider) -> bool:
    return len(provider.calls) > seen


def _was_left(call: Call, provider: Provider) -> bool:
    return call.peer_closed_s is not None


async def cancel(cell: Cell) -> None:
    gate = cell.provider.gate(f"{cell.door} {cell.format}")
    cell.provider.script = lambda call: replace(reply(call), before=gate)
    for streamed in (False, True):
        seen = len(cell.provider.calls)
        task = asyncio.create_task(cell.ask(Ask(cell.format, stream=streamed)))
        await cell.provider.until(partial(_has_more, seen), DEADLINE_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        call = cell.provider.calls[seen]
        await cell.provider.until(partial(_was_left, call), DEADLINE_S)
    gate.open()


CHECKS: dict[str, Callable[[Cell], Awaitable[object]]] = {
    check.__name__: check for check in (text, tools, thinking, image, schema, stream, error, cancel)
}


def snapshot(provider: Provider) -> Snapshot:
    kinds = {"asked": ("openai", {"chat_api": "responses"})}
    routes = {}
    for name in FORMATS:
        kind, options = kinds.get(name, (name, {}))
        base_url = provider.root_url if kind in ("anthropic", "cohere") else f"{provider.root_url}/v1"
        upstream = Upstream(kind, MODELS.get(name, f"{name}-model"), base_url, Secret(KEY), options=options)
        routes[name] = Route(name, Task.CHAT, (upstream,), retries=Retries(budget=0))
    return Snapshot(routes, "0" * 12)


async def verdict(cell: Cell, feature: str) -> str:
    """What is wrong with a cell; "" for nothing."""
    cell.provider.script = reply
    seen = len(cell.provider.calls)
    try:
        if (params := REFUSED.get((cell.format, feature))) is None:
            await CHECKS[feature](cell)
            return ""
        status, words = await cell.refusal(Ask(cell.format, tools=True, thinks=feature == "thinking"))
        assert status in (grpc.StatusCode.INVALID_ARGUMENT, (400, "invalid_request_error"))
        assert any(param in words for param in params)
        assert len(cell.provider.calls) == seen
    except (AssertionError, KeyError, TypeError, grpc.aio.AioRpcError, json.JSONDecodeError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{cell.door} before {cell.format}, {feature}: line {where.lineno} {where.line}: {str(error)[:300]}"
    return ""


async def test_every_door_before_every_format_with_every_feature(provider: Provider) -> None:
    async with WorkerProcess(snapshot(provider)) as worker, Clients(worker) as clients:
        rows = itertools.product(CALLERS, FORMATS, FEATURES)
        verdicts = [await verdict(Cell(door, name, clients, provider), feature) for door, name, feature in rows]
    assert "\n".join(each for each in verdicts if each) == ""
    assert len(verdicts) == len(CALLERS) * len(FORMATS) * len(FEATURES)


async def test_a_cell_that_is_wrong_is_told(provider: Provider) -> None:
    """Positive control."""
    async with WorkerProcess(snapshot(provider)) as worker, Clients(worker) as clients:
        cell = Cell("messages", "openai", clients, provider)
        assert await verdict(cell, "text") == ""
        cell.provider.script = lambda call: error_reply(call, 500, "oops")
        with pytest.raises(AssertionError):
            await text(cell)


def test_every_feature_has_its_check() -> None:
    assert tuple(CHECKS) == FEATURES
