"""A provider's stream that breaks off, at every byte of it: its caller's stream never ends as if it were whole."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody

from adapters import Task
from sidecar.domain.snapshot import Retries
from tests.provider import Call, End, Pause, Provider, Reply, data, event, sse_reply
from tests.provider.claude import TURN, events_of
from tests.provider.openai_responses import CALL, MESSAGE, REASONING, events
from tests.scale import SCALE
from tests.worker.running import WorkerProcess, route, snapshot
from tests.worker.test_rest import USER, read

_AT_ONCE = 16
# Of the bytes that are no end of an event, one in so many.
_STEP = max(1, round(1 / SCALE))
_UNSUCCESSFUL = ("response.failed", "response.incomplete")


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return data(
        {"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    )


def _tool(index: int, **function: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "id": f"call_{index}", "type": "function", "function": function}]}


_CHAT = [
    _chunk({"role": "assistant", "reasoning_content": "Look first."}),
    _chunk({"content": "Let me "}),
    _chunk({"content": "see."}),
    _chunk(_tool(0, name="find", arguments='{"q"')),
    _chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
    _chunk(_tool(1, name="find", arguments='{"q":2}')),
    _chunk({}, "tool_calls"),
    data("[DONE]"),
]
_CLAUDE = [event(each["type"], each) for each in events_of(TURN, "tool_use")]
_GPT = events(REASONING, MESSAGE, CALL)
# By the route: the events of the provider, and how many of them have to be there for a whole answer: where the connection is cut,
# and where the body ends in order.
STREAMS: dict[str, tuple[list[bytes], int, int]] = {
    "chat": (_CHAT, len(_CHAT), len(_CHAT) - 1),
    "claude": (_CLAUDE, len(_CLAUDE), len(_CLAUDE) - 1),
    "gpt": (_GPT, len(_GPT), len(_GPT)),
}
# Where a body ends in order its last event needs no empty line, not even the end of its own.
_LINE_ENDS = 2
_KINDS = {"chat": "openai-compatible", "claude": "anthropic", "gpt": "openai"}
# Of a provider; a comment is due ten times in it.
_SILENCE_S = 0.5


def _cuts(parts: list[bytes]) -> list[int]:
    ends = [sum(map(len, parts[:count])) for count in range(len(parts) + 1)]
    near = {at + by for at in ends for by in (-2, -1, 0, 1)} & set(range(ends[-1] + 1))
    return sorted(near | set(range(0, ends[-1], _STEP)))


@pytest.mark.parametrize("end", [End.CUT, End.NORMAL], ids=["cut", "ended"])
@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_that_breaks_off_never_looks_whole(name: str, end: End) -> None:
    parts, *needed = STREAMS[name]
    count = needed[end is End.NORMAL]
    whole_from = sum(map(len, parts[:count])) - (_LINE_ENDS if end is End.NORMAL else 0)
    stream = b"".join(parts)

    def script(call: Call) -> Reply:
        """The request says where."""
        at = int(json.dumps(call.json).partition("cut at ")[2].partition(".")[0])
        if end is End.NORMAL:
            return sse_reply([stream[:at]])
        return replace(sse_reply([stream]), end=end, cut_at=at)

    with Provider() as provider:
        provider.script = script
        base = provider.root_url if name == "claude" else provider.base_url
        routes = snapshot([route(name, Task.CHAT, base, provider=_KINDS[name], retries=Retries(budget=0))])
        async with WorkerProcess(routes) as worker:
            stub, places = worker.rest(), asyncio.Semaphore(_AT_ONCE)

            async def ending(at: int) -> tuple[int, str]:
                body = {"model": name, "stream": True, "input": f"cut at {at}."}
                async with places:
                    found = await read(stub.CreateResponse(HttpBody(data=json.dumps(body).encode()), metadata=USER))
                return at, _ending(found.status, found.body)

            endings = await asyncio.gather(*(ending(at) for at in _cuts(parts)))
    assert {at: last for at, last in endings if last == "response.completed" and at < whole_from} == {}
    assert endings[-1] == (len(stream), "response.completed")
    assert {last for at, last in endings if at < whole_from} <= {"refused", *_UNSUCCESSFUL}
    assert len({last for _, last in endings}) == 3  # of each kind some


async def test_while_a_provider_is_silent_there_are_comments_and_no_events_of_our_own() -> None:
    """An event of a type that a program does not know breaks some of them; a comment breaks none."""
    for name, (parts, _, _) in STREAMS.items():
        with Provider() as provider:
            silent = [Pause(_SILENCE_S), *parts[:2], Pause(_SILENCE_S), *parts[2:]]
            provider.script = lambda call, silent=silent: sse_reply(silent)
            base = provider.root_url if name == "claude" else provider.base_url
            routes = snapshot([route(name, Task.CHAT, base, provider=_KINDS[name], stream_keepalive_s=_SILENCE_S / 10)])
            async with WorkerProcess(routes) as worker:
                body = {"model": name, "stream": True, "input": "hi"}
                request = HttpBody(data=json.dumps(body).encode())
                found = await read(worker.rest().CreateResponse(request, metadata=USER))
        blocks = found.body.decode().rstrip("\n").split("\n\n")
        comments = [block for block in blocks if not block.startswith("event: response.")]
        assert set(comments) == {": keep-alive"}, name
        assert blocks[0] == ": keep-alive"
        events_ = [json.loads(block.partition("data: ")[2]) for block in blocks if block not in comments]
        assert [each["sequence_number"] for each in events_] == list(range(len(events_)))
        assert events_[-1]["type"] == "response.completed"


def _ending(status: int, body: bytes) -> str:
    """The last event; "refused" where there is an error in place of a stream."""
    if status != 200:
        assert json.loads(body)["error"]["code"]
        return "refused"
    last = body.decode().rstrip("\n").split("\n\n")[-1]
    name, _, text = last.partition("\n")
    found = json.loads(text.removeprefix("data: "))
    assert found["type"] == name.removeprefix("event: ")
    assert found["response"]["status"] == found["type"].removeprefix("response.")
    return str(found["type"])
