"""Answers of chat completions as callers of Responses and Messages read them: whole and streamed they say the same, in the order
in which the model said it, and nothing is lost."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from adapters import FORMATS, Task
from adapters.contract import Context
from sidecar.v1 import inference_pb2 as pb
from tests.oracles import messages as message_events

USAGE = pb.Usage(input_tokens=3, output_tokens=4, total_tokens=7)
CITATION = {"url": "https://x.example", "title": "X", "start_index": 0, "end_index": 3}
BOXED = {"type": "url_citation", "url_citation": CITATION}
OTHER = {"type": "file_citation", "file_id": "f"}
REQUESTS = {
    "responses": {"model": "r", "input": "q"},
    "anthropic": {"model": "r", "max_tokens": 9, "messages": [{"role": "user", "content": "q"}]},
}


def text(words: str) -> pb.ContentPart:
    return pb.ContentPart(text=words)


def thought(words: str, number: int) -> pb.ContentPart:
    signed = pb.Thinking(text=words, signature=b"s%d" % number, native_name="thinking", format="anthropic-claude-v1")
    return pb.ContentPart(thinking=signed)


def call(id_: str, arguments: str) -> pb.ToolCall:
    return pb.ToolCall(id=id_, name="f", arguments_json=arguments)


def made(*parts: pb.ContentPart, finish: Any = pb.FINISH_REASON_STOP, **message: Any) -> pb.ChatResponse:
    reply = pb.Message(role=pb.ROLE_ASSISTANT, content=parts, **message)
    return pb.ChatResponse(
        id="c", model="m", created=1, usage=USAGE, choices=[pb.Choice(message=reply, finish_reason=finish)]
    )


def chunks(answer: pb.ChatResponse) -> list[pb.StreamChatResponse]:
    """The same answer, piece by piece."""
    message, deltas = answer.choices[0].message, []
    for number, part in enumerate(message.content):
        if part.HasField("thinking"):
            fields = {field.name: value for field, value in part.thinking.ListFields()}
            deltas.append(pb.Delta(thinking=pb.ThinkingDelta(index=number, **fields)))
        elif part.HasField("refusal"):
            deltas.append(pb.Delta(refusal=part.refusal))
        else:
            deltas += [pb.Delta(content=letter) for letter in part.text]
    for number, each in enumerate(message.tool_calls):
        fields = {"id": each.id, "name": each.name, "arguments_json": each.arguments_json}
        deltas.append(pb.Delta(tool_calls=[pb.ToolCallDelta(index=number, **fields)]))
    if message.extra_json:
        deltas.append(pb.Delta(extra_json=message.extra_json))
    out = [pb.StreamChatResponse(id="c", model="m", created=1, choices=[pb.ChunkChoice(delta=each)]) for each in deltas]
    last = pb.ChunkChoice(finish_reason=answer.choices[0].finish_reason)
    return [*out, pb.StreamChatResponse(id="c", model="m", created=1, choices=[last], usage=answer.usage)]


def context() -> Context:
    numbers = itertools.count()
    return Context(1_700_000_000, lambda prefix: f"{prefix}{next(numbers)}")


def read(door: str, answer: pb.ChatResponse) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The whole answer, and the events of the stream."""
    side = FORMATS[door].client[Task.CHAT]
    envelope = side.open(json.dumps(REQUESTS[door]).encode())
    assert side.whole is not None
    assert side.writer is not None
    writer = side.writer(envelope, context())
    events = writer.feed(list(chunks(answer))) + writer.end()
    if door == "anthropic":
        message_events.check(message_events.events(events))
    data = [json.loads(line[6:]) for line in events.decode().splitlines() if line.startswith("data: ")]
    return json.loads(side.whole(envelope, answer, context())), data


def without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in item.items() if name != "id"} for item in items]


ANSWERS = {
    "a text": made(text("one")),
    "thoughts between texts": made(thought("a", 1), text("one"), thought("b", 2), text("two")),
    "a text and calls": made(text("one"), tool_calls=[call("a", '{"q":1}'), call("b", "{}")]),
    "a cut text": made(thought("a", 1), text("one"), finish=pb.FINISH_REASON_LENGTH),
    "a cut call": made(text("x"), finish=pb.FINISH_REASON_LENGTH, tool_calls=[call("a", '{"q":1}'), call("b", '{"q')]),
    "a filtered text": made(text("one"), finish=pb.FINISH_REASON_CONTENT_FILTER),
    "a refusal": made(pb.ContentPart(refusal="no")),
    "a text and a refusal": made(text("one"), pb.ContentPart(refusal="no")),
    "citations": made(text("see"), extra_json=json.dumps({"annotations": [BOXED, OTHER], "citations": ["https://y"]})),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_response_is_the_same_whole_and_streamed(name: str) -> None:
    whole, events = read("responses", ANSWERS[name])
    last = events[-1]["response"]
    assert without_ids(last["output"]) == without_ids(whole["output"])
    for member in ("status", "incomplete_details", "annotations", "citations"):
        assert last.get(member) == whole.get(member), member
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == last["output"]


def test_items_stand_in_the_order_of_the_answer() -> None:
    whole, _ = read("responses", ANSWERS["thoughts between texts"])
    parts = [(item.get("summary") or item["content"])[0] for item in whole["output"]]
    assert [part["text"] for part in parts] == ["a", "one", "b", "two"]


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("a cut text", ["completed", "incomplete"]),
        ("a cut call", ["completed", "completed", "incomplete"]),
        ("a filtered text", ["incomplete"]),
        ("a text and calls", ["completed"] * 3),
    ],
)
def test_what_is_cut_off_says_so_and_nothing_else_does(name: str, statuses: list[str]) -> None:
    """Agents run the calls of items that are completed."""
    whole, events = read("responses", ANSWERS[name])
    assert [item["status"] for item in whole["output"]] == statuses
    assert [item["status"] for item in events[-1]["response"]["output"]] == statuses


def test_citations_of_pages_are_annotations_of_the_text() -> None:
    whole, events = read("responses", ANSWERS["citations"])
    flat = {"type": "url_citation", **CITATION}
    assert whole["output"][0]["content"][0]["annotations"] == [flat]
    assert (whole["annotations"], whole["citations"]) == ([OTHER], ["https://y"])
    (added,) = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert (added["annotation"], added["annotation_index"], added["content_index"]) == (flat, 0, 0)


def test_citations_before_their_text_wait_for_it_and_without_one_stand_at_the_top() -> None:
    side = FORMATS["responses"].client[Task.CHAT]
    envelope = side.open(json.dumps(REQUESTS["responses"]).encode())
    assert side.writer is not None
    first = pb.ChunkChoice(delta=pb.Delta(extra_json=json.dumps({"annotations": [BOXED]})))
    for later, placed in ((pb.Delta(content="see"), True), (pb.Delta(refusal="no"), False)):
        writer = side.writer(envelope, context())
        some = [pb.StreamChatResponse(choices=[each]) for each in (first, pb.ChunkChoice(delta=later))]
        last = json.loads((writer.feed(some) + writer.end()).decode().rstrip().rpartition("data: ")[2])["response"]
        found = last["output"][0]["content"][0].get("annotations")
        assert (found, "annotations" in last) == (
            [{"type": "url_citation", **CITATION}] if placed else None,
            not placed,
        )


def test_a_message_has_what_its_blocks_have_no_place_for() -> None:
    whole, events = read("anthropic", ANSWERS["citations"])
    (last,) = [event for event in events if event["type"] == "message_delta"]
    for found in (whole, last):
        assert (found["annotations"], found["citations"]) == ([BOXED, OTHER], ["https://y"])
    assert whole["content"] == [{"type": "text", "text": "see"}]
