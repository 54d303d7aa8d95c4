"""The stream helper of OpenAI's SDK adds up every stream that is translated, whatever lists a provider's deltas have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from adapters import FORMATS, Context, Event, Target, Task
from adapters.providers import PROVIDERS
from tests.adapters.client_streams import LEFT_IN_PYTHON, client_streams, not_listed
from tests.adapters.laws import Case, cases
from tests.adapters.meaning import chunks_of

CONTEXT = Context(0, lambda prefix: prefix + "1", "m")
CLIENT = FORMATS["openai"].client[Task.CHAT]
STREAMS = [
    case
    for case in cases()
    if case.streamed and not case.failed and case.task is Task.CHAT and case.format.name != "openai"
]
SEARCH: list[dict[str, Any]] = [
    {"type": "server_tool_use", "id": "s", "name": "search", "input": {"q": 1}},
    {"type": "search_result", "tool_use_id": "s", "content": [{"url": "u"}]},
]
CITED = [{"type": "place", "cited_text": "a"}, {"type": "place", "cited_text": "b"}]


def added_up(chunks: list[Any]) -> dict[str, Any]:
    """The message that the SDK makes of the stream, as it dumps it."""
    assert CLIENT.encode_chunk is not None
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        for line in CLIENT.encode_chunk(chunk, True).split(b"\n\n"):
            if line:
                made = construct_type(type_=ChatCompletionChunk, value=json.loads(line.removeprefix(b"data: ")))
                assert isinstance(made, ChatCompletionChunk)
                list(state.handle_chunk(made))
    message: dict[str, Any] = state.current_completion_snapshot.choices[0].message.model_dump()
    return message


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.path.stem)
def test_the_sdk_adds_up_every_recorded_stream(case: Case) -> None:
    assert added_up(chunks_of(case, [case.sse]))["role"] == "assistant"


def test_the_sdk_adds_up_every_stream_that_the_gateway_gives_but_for_those_listed() -> None:
    failed: dict[str, str] = {}
    for name, chunks in client_streams():
        state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
        try:
            for chunk in chunks:
                made = construct_type(type_=ChatCompletionChunk, value=chunk)
                assert isinstance(made, ChatCompletionChunk)
                list(state.handle_chunk(made))
        except Exception as error:  # noqa: BLE001  # whatever the SDK raises
            failed[name] = str(error)
    assert not_listed(failed, LEFT_IN_PYTHON) == {}


def streamed(provider: str, events: list[dict[str, Any]]) -> dict[str, Any]:
    row = PROVIDERS[provider]
    stream = FORMATS[row.format].provider[Task.CHAT].stream
    assert stream is not None
    decoder = stream(Target(row, "m", "http://h"), CONTEXT)
    chunks = []
    for event in events:
        data = json.dumps(event).encode()
        chunks += decoder.feed(Event("", data, data))
    return added_up(chunks + decoder.close())


def whole(provider: str, body: dict[str, Any]) -> dict[str, Any]:
    side = FORMATS[PROVIDERS[provider].format].provider[Task.CHAT]
    assert CLIENT.encode_response is not None
    answer = json.loads(CLIENT.encode_response(side.decode(json.dumps(body).encode(), CONTEXT)))
    message: dict[str, Any] = answer["choices"][0]["message"]
    return message


def unnumbered(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert [entry.pop("index") for entry in entries] == list(range(len(entries)))
    return entries


def test_claudes_searches_and_citations_are_the_same_whole_and_streamed() -> None:
    blocks = [*SEARCH, {"type": "text", "text": "x"}, {"type": "text", "text": "y"}]
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "content": [], "usage": {}}}]
    for n, block in enumerate(blocks):
        events.append({"type": "content_block_start", "index": n, "content_block": block})
        if block["type"] == "text":
            delta = {"type": "citations_delta", "citation": CITED[n - 2]}
            events.append({"type": "content_block_delta", "index": n, "delta": delta})
        events.append({"type": "content_block_stop", "index": n})
    events += [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}]
    from_stream = streamed("anthropic", events)
    body = [block | ({"citations": [CITED[n - 2]]} if n > 1 else {}) for n, block in enumerate(blocks)]
    answer = whole("anthropic", {"role": "assistant", "content": body, "stop_reason": "end_turn"})
    assert (answer["content"], answer["content_blocks"], answer["citations"]) == ("xy", SEARCH, CITED)
    assert unnumbered(from_stream["content_blocks"]) == SEARCH
    assert unnumbered(from_stream["citations"]) == CITED


def test_coheres_citations_are_the_same_whole_and_streamed() -> None:
    cited = [{"start": 0, "end": 1, "text": "x"}, {"start": 1, "end": 2, "text": "y"}]
    events: list[dict[str, Any]] = [
        {"type": "message-start", "id": "m", "delta": {"message": {"role": "assistant"}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "xy"}}}},
        *(
            {"type": "citation-start", "index": n, "delta": {"message": {"citations": one}}}
            for n, one in enumerate(cited)
        ),
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
    ]
    message = {"role": "assistant", "content": [{"type": "text", "text": "xy"}], "citations": cited}
    assert whole("cohere", {"id": "m", "finish_reason": "COMPLETE", "message": message})["citations"] == cited
    assert unnumbered(streamed("cohere", events)["citations"]) == cited
