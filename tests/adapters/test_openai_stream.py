"""OpenAI's streams: events to chunks whatever a server makes of the format, and chunks to events."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from adapters import FORMATS, Context, Decoder, Event, GatewayError, Kind, Target, Task
from adapters.chunks import accumulate_chat, accumulate_completion, has_output
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

OPENAI = FORMATS["openai"]
CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")
TARGET = Target(PROVIDERS["openai-compatible"], "m", "http://127.0.0.1:1/v1")
DONE_TARGET = replace(TARGET, options={"stream_end": "done"})
CLOSE_TARGET = replace(TARGET, options={"stream_end": "close"})
HEAD: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m"}
DONE = Event("", b"[DONE]", b"data: [DONE]\n\n")
SIDE_MEMBERS = ("stream", "observe")


def decoder(task: Task = Task.CHAT, target: Target = TARGET, side_member: str = "stream") -> Decoder:
    made: Decoder = getattr(OPENAI.provider[task], side_member)(target, CONTEXT)
    return made


def event(body: Any, name: str = "") -> Event:
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Event(name, data, b"data: " + data + b"\n\n")


def piece(delta: Any, finish: str | None = None, index: int = 0, **more: Any) -> Event:
    return event({**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": finish}], **more})


def calls(*deltas: dict[str, Any]) -> Event:
    return piece({"tool_calls": list(deltas)})


def call(index: int | None, id_: str | None = None, name: str | None = None, arguments: Any = None) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    identity = {key: value for key, value in (("index", index), ("id", id_)) if value is not None}
    return {**identity, "function": function}


def fed(*events: Event, stream: Decoder | None = None) -> list[Any]:
    stream = stream or decoder()
    chunks = [chunk for one in events for chunk in stream.feed(one)]
    return chunks + stream.close()


def answer_of(*events: Event) -> pb.Choice:
    return accumulate_chat(fed(*events, piece({}, "stop"), DONE)).choices[0]


def called(*events: Event) -> list[tuple[str, str, str]]:
    return [(one.id, one.name, one.arguments_json) for one in answer_of(*events).message.tool_calls]


def failure_of(*events: Event, stream: Decoder | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        fed(*events, stream=stream)
    return caught.value


def test_calls_in_the_order_openai_sends_them() -> None:
    assert called(
        calls(call(0, "a", "f", "")), calls(call(0, arguments='{"x"')), calls(call(0, arguments=":1}")),
        calls(call(1, "b", "g", "{}")),
    ) == [("a", "f", '{"x":1}'), ("b", "g", "{}")]  # fmt: skip


@pytest.mark.parametrize(
    ("deltas", "found"),
    [
        ([call(0, "a", "f", "{"), call(1, "b", "g", "{"), call(0, None, None, "}"), call(1, None, None, "}")],
         [("a", "f", "{}"), ("b", "g", "{}")]),
        ([call(0, "a", "f", '{"x":1}'), call(0, "b", "f", '{"x":2}')], [("a", "f", '{"x":1}'), ("b", "f", '{"x":2}')]),
        ([call(7, "a", "f", "{"), call(7, None, None, "}"), call(3, "b", "g", "{}")], [("a", "f", "{}"), ("b", "g", "{}")]),
        ([call(None, "a", "f", "{"), call(None, None, None, "}"), call(None, "b", "g", "{}")],
         [("a", "f", "{}"), ("b", "g", "{}")]),
        ([call(0, "a", "f", "{"), call(0, "a", None, "}")], [("a", "f", "{}")]),
        ([call(0, "a", "f", "{"), call(0, "a", "f", "}")], [("a", "f", "{}")]),
        ([call(0, None, "f", "{"), call(0, "a", None, "}")], [("a", "f", "{}")]),
        ([call(0, "a", "f", {"x": 1.0})], [("a", "f", '{"x": 1.0}')]),
        ([call(0, "a", "f")], [("a", "f", "{}")]),
        ([call(0, "a", "f", "")], [("a", "f", "{}")]),
        ([call(0, "", "f", "{}"), call(1, "", "g", "{}")], [("call_1", "f", "{}"), ("call_1", "g", "{}")]),
        ([call(None, None, "f", '{"x":1}'), call(None, None, "g", '{"y":2}')],
         [("call_1", "f", '{"x":1}'), ("call_1", "g", '{"y":2}')]),
        ([call(None, "", "f", '{"x":1}'), call(None, "", "f", '{"x":2}')],
         [("call_1", "f", '{"x":1}'), ("call_1", "f", '{"x":2}')]),
        ([call(0, None, "f", "{}"), call(0, None, "g", "{}")], [("call_1", "f", "{}"), ("call_1", "g", "{}")]),
        ([call(2, "a", "f", ""), call(2, "b", None, "{"), call(2, "c", None, "}")], [("a", "f", "{}")]),
        ([call(None, "a", "f", ""), call(None, "b", None, "{}")], [("a", "f", "{}")]),
        ([call(0, "a", "f", "{}"), call(0, "b", "g", "{"), call(0, "c", None, "}")], [("a", "f", "{}"), ("b", "g", "{}")]),
        ([call(0, "a", "f", "{}"), call(1, "a", "f", "{}")], [("a", "f", "{}"), ("a", "f", "{}")]),
        ([call(None, "a", "f", "{}"), call(None, "a", "g", "{}")], [("a", "f", "{}"), ("a", "g", "{}")]),
        ([call(0, "a", "f", "{"), call(1, "a", "g", "{"), call(0, "a", None, "}"), call(1, "a", None, "}")],
         [("a", "f", "{}"), ("a", "g", "{}")]),
    ],
    ids=["interleaved", "all at index 0", "any indexes", "no index", "id again", "name again", "id late", "object", "none",
         "empty", "no ids", "names alone", "one name twice", "names at one index", "an id a piece", "an id a piece, no index",
         "an id a piece of the second", "one id at two indexes", "one id, two names", "one id, interleaved"],
)  # fmt: skip
def test_calls_are_told_apart_whatever_the_server_makes_of_index_and_id(deltas: list[Any], found: list[Any]) -> None:
    assert called(*(calls(delta) for delta in deltas)) == found
    assert called(calls(*deltas)) == found
    chunks = fed(*(calls(delta) for delta in deltas), piece({}, "tool_calls"), DONE)
    opened = [one.index for chunk in chunks for choice in chunk.choices for one in choice.delta.tool_calls if one.name]
    assert opened == list(range(len(found)))


def test_a_name_that_comes_with_every_piece_is_one_call() -> None:
    pieces = [call(None, None, "f", part) for part in ('{"x"', ":", "1}")]
    assert called(*(calls(one) for one in pieces)) == [("call_1", "f", '{"x":1}')]


def test_a_call_without_a_list_around_it_is_read() -> None:
    first, last = call(0, "", "f", '{"x"'), call(0, "", None, ":1}")
    assert called(piece({"tool_calls": first}), piece({"tool_calls": last})) == [("call_1", "f", '{"x":1}')]


def test_a_custom_tools_input_streams_as_text() -> None:
    parts = [
        {"index": 0, "id": "a", "type": "custom", "custom": {"name": "c", "input": "x"}},
        {"index": 0, "custom": {"input": "y"}},
    ]
    found = answer_of(*(calls(part) for part in parts)).message.tool_calls[0]
    assert (found.name, found.custom_input, found.arguments_json) == ("c", "xy", "")


def test_each_choice_finishes_once_and_what_comes_with_a_finish_counts() -> None:
    chunks = fed(piece({"content": "a"}, "stop"), piece({"content": "b"}, "stop"), piece({}, "length"), DONE)
    assert [choice.native_finish_reason for chunk in chunks for choice in chunk.choices] == ["stop", "", ""]
    assert accumulate_chat(chunks).choices[0].message.content[0].text == "ab"


def test_id_time_and_model_are_the_first_ones_in_every_chunk() -> None:
    filters = {"id": "", "created": 0, "model": "", "object": "", "choices": [], "prompt_filter_results": [1.0]}
    other = {**HEAD, "id": "other", "created": 8, "choices": [{"index": 0, "delta": {"content": "a"}}], "new": 1}
    chunks = fed(event(filters), piece({"role": "assistant"}), event(other), piece({}, "stop"), DONE)
    assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {("c", 7, "m")}
    assert [chunk.extra_json for chunk in chunks] == ['{"prompt_filter_results":[1.0]}', '{"new":1}', ""]


def test_a_server_without_ids_gets_one_of_ours_for_all_chunks() -> None:
    bare = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}
    chunks = fed(event(bare), event(bare), DONE)
    assert {(chunk.id, chunk.created) for chunk in chunks} == {("chatcmpl-1", CONTEXT.now_s)}


@pytest.mark.parametrize("side_member", SIDE_MEMBERS)
@pytest.mark.parametrize(
    "usages",
    [[None, None, 5], [1, 2, 5], [None, 5, 5], [None, 5, None], [None, 5, {}]],
    ids=["at the end", "running", "twice", "with the finish", "then an empty one"],
)
def test_usage_is_the_last_one_wherever_it_comes(usages: list[Any], side_member: str) -> None:
    counted = [{"completion_tokens": one} if isinstance(one, int) else one for one in usages]
    events = [
        piece({"content": "a"}, usage=counted[0]),
        piece({}, "stop", usage=counted[1]),
        event({**HEAD, "choices": [], "usage": counted[2]}),
        DONE,
    ]
    chunks = fed(*events, stream=decoder(side_member=side_member))
    seen = [chunk.usage.output_tokens for chunk in chunks if chunk.HasField("usage")]
    assert seen[-1] == 5
    if usages[-1]:
        assert not chunks[-1].choices, "a chunk of usage alone has no choices: the gateway takes it out"


@pytest.mark.parametrize("side_member", SIDE_MEMBERS)
@pytest.mark.parametrize(
    "events",
    [
        [],
        [piece({"content": "a"})],
        [DONE],
        [event({**HEAD, "choices": []}), DONE],
        [event(b"{"), DONE],
        [event(b"[]"), DONE],
        [event(b"null"), DONE],
        [piece({"content": "a"}), event(b'{"choices":[{}]} x'), DONE],
        [piece({"content": "a"}), event(b'{"choices":5}'), DONE],
        [piece({"content": "a"}), event(b'{"choices":[{"index":0,"delta":{"content":"\xff"}}]}'), DONE],
        [event({**HEAD, "choices": [{"index": 2**31}]}), DONE],
    ],
)
def test_a_stream_that_ends_early_or_is_none_is_the_providers_fault(events: list[Event], side_member: str) -> None:
    assert failure_of(*events, stream=decoder(side_member=side_member)).kind is Kind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("side_member", SIDE_MEMBERS)
def test_a_stream_without_its_marker_ends_with_the_body_once_all_choices_have_finished(side_member: str) -> None:
    two = [piece({"content": "a"}), piece({"content": "b"}, index=1), piece({}, "stop")]
    assert failure_of(*two, stream=decoder(side_member=side_member)).kind is Kind.UPSTREAM_PROTOCOL
    stream = decoder(side_member=side_member)
    fed(*two, piece({}, "stop", index=1), stream=stream)
    assert stream.done


@pytest.mark.parametrize("side_member", SIDE_MEMBERS)
def test_a_route_says_what_ends_its_streams(side_member: str) -> None:
    finished = piece({"content": "a"}, "stop")
    strict = decoder(target=DONE_TARGET, side_member=side_member)
    assert failure_of(finished, stream=strict).kind is Kind.UPSTREAM_PROTOCOL
    stream = decoder(target=CLOSE_TARGET, side_member=side_member)
    fed(piece({"content": "a"}), stream=stream)
    assert stream.done
    nothing = decoder(target=CLOSE_TARGET, side_member=side_member)
    assert failure_of(stream=nothing).kind is Kind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("side_member", SIDE_MEMBERS)
def test_blanks_around_the_marker_and_events_of_blanks_do_not_matter(side_member: str) -> None:
    stream = decoder(side_member=side_member)
    fed(event(b"  "), piece({"content": "a"}), event(b" \t"), event(b" [DONE] "), stream=stream)
    assert stream.done


@pytest.mark.parametrize("side_member", SIDE_MEMBERS)
@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (event({"error": {"message": "m", "code": "rate_limit_exceeded"}}), Kind.RATE_LIMITED),
        (event({"error": {"message": "m", "code": 502}}), Kind.UPSTREAM_UNAVAILABLE),
        (event({"error": {"message": "m", "type": "invalid_request_error"}}, "error"), Kind.INVALID_REQUEST),
        (event({"message": "m", "type": "server_error"}, "error"), Kind.UPSTREAM_UNAVAILABLE),
        (event({**HEAD, "choices": [{"index": 0, "error": {"message": "m", "code": 429}}]}), Kind.RATE_LIMITED),
        (event({**HEAD, "choices": [{"index": 0, "delta": {"content": "x"}}], "error": {"message": "m"}}),
         Kind.UPSTREAM_UNAVAILABLE),
        (event({"error": "m"}), Kind.UPSTREAM_UNAVAILABLE),
    ],
)  # fmt: skip
def test_an_error_in_the_stream_is_one_before_and_after_output(bad: Event, kind: Kind, side_member: str) -> None:
    for before in ([], [piece({"content": "a"})]):
        failure = failure_of(*before, bad, DONE, stream=decoder(side_member=side_member))
        assert (failure.kind, failure.message, failure.status) == (kind, "m", None)


@pytest.mark.parametrize("side_member", SIDE_MEMBERS)
def test_comments_and_what_follows_the_end_are_passed_over(side_member: str) -> None:
    stream = decoder(side_member=side_member)
    comment = Event("", b"", b": ping\n\n")
    fed(comment, piece({"content": "a"}), comment, DONE, event(b"{"), event({"error": {}}), stream=stream)
    assert stream.done


@pytest.mark.parametrize(
    ("delta", "speaks"),
    [
        ({"role": "assistant"}, False),
        ({"role": "assistant", "content": ""}, False),
        ({"role": "assistant", "content": None, "tool_calls": [], "name": "assistant", "token_id": 5}, False),
        ({"role": "assistant", "reasoning_details": [], "annotations": []}, False),
        ({}, False),
        ({"content": "a"}, True),
        ({"content": " "}, True),
        ({"reasoning_content": "hm"}, True),
        ({"reasoning": "hm", "channel": "analysis"}, True),
        ({"refusal": "no"}, True),
        ({"tool_calls": [call(0, "a", "f", "")]}, True),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}, True),
        ({"content": [{"type": "thinking", "thinking": []}]}, False),
        ({"content": [{"type": "odd", "odd": []}]}, True),
        ({"audio": {"id": "a", "data": "AA=="}}, True),
        ({"function_call": {"name": "f"}}, True),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, True),
    ],
)
def test_output_is_what_a_caller_waits_for(delta: Any, speaks: bool) -> None:
    (chunk,) = decoder().feed(piece(delta))
    assert has_output(chunk) is speaks


def test_a_list_as_content_gives_its_texts_and_keeps_what_else_it_has() -> None:
    odd = {"type": "odd", "odd": [{"type": "text", "text": "hm"}]}
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    first, second = (decoder().feed(piece({"content": one}))[0].choices[0].delta for one in ([odd], texts))
    assert (first.content, json.loads(first.extra_json)) == ("", {"content": [odd]})
    assert (second.content, second.extra_json) == ("ab", "")


@pytest.mark.parametrize(
    ("kind", "member", "piece_type"), [("thinking", "thinking", "text"), ("reasoning", "summary", "summary_text")]
)
def test_a_thought_in_a_list_is_a_thought(kind: str, member: str, piece_type: str) -> None:
    def part(**more: Any) -> dict[str, Any]:
        return {"type": kind, member: [{"type": piece_type, **more}]}

    contents = [
        [part(text="Hm")],
        [part(text=", ", signature="s")],
        [part(text="so"), {"type": "text", "text": "Yes"}],
        ".",
    ]
    reader = decoder()
    chunks = [chunk for content in contents for chunk in reader.feed(piece({"content": content}))]
    parts = accumulate_chat(chunks).choices[0].message.content
    assert (parts[0].thinking.text, parts[0].thinking.signature, parts[1].text) == ("Hm, so", b"s", "Yes.")
    assert parts[0].thinking.native_name == member


def test_what_a_thought_says_beyond_its_text_is_kept_whole() -> None:
    closed = {"type": "thinking", "thinking": [], "closed": True}
    (chunk,) = decoder().feed(piece({"content": [closed]}))
    assert json.loads(chunk.choices[0].delta.extra_json) == {"content": [closed]}


def test_completions_stream_and_their_logprobs_add_up() -> None:
    def text(words: str, finish: str | None = None) -> Event:
        choice = {
            "index": 0,
            "text": words,
            "logprobs": {"tokens": [words], "text_offset": [1]},
            "finish_reason": finish,
        }
        return event({**HEAD, "choices": [choice]})

    chunks = fed(text("a"), text("b", "length"), DONE, stream=decoder(Task.COMPLETIONS))
    found = accumulate_completion(chunks).choices[0]
    assert (found.text, found.finish_reason) == ("ab", pb.FINISH_REASON_LENGTH)
    assert found.logprobs_json == '{"tokens":["a","b"],"text_offset":[1,1]}'
    assert OPENAI.client[Task.COMPLETIONS].encode_chunk is not None


def written(chunk: Any, wants_usage: bool = False) -> list[dict[str, Any]]:
    encode = OPENAI.client[Task.CHAT].encode_chunk
    assert encode is not None
    data = encode(chunk, wants_usage)
    assert data == b"" or data.endswith(b"\n\n")
    return [json.loads(one.removeprefix(b"data: ")) for one in data.split(b"\n\n") if one]


def test_chunks_are_written_as_openai_writes_them() -> None:
    events = [
        piece({"role": "assistant", "content": ""}, system_fingerprint="fp"),
        piece({"content": "é\u2028"}, obfuscation="x"),
        calls({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}),
        calls({"index": 0, "function": {"arguments": "}"}}),
        piece({"reasoning_content": "hm"}),
        piece({"refusal": "no"}, "stop"),
    ]
    chunks = fed(*events, DONE)
    assert [one for chunk in chunks for one in written(chunk)] == [json.loads(one.data) for one in events]


def test_the_usage_chunk_is_only_for_who_asked_and_stands_alone() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    (chunk,) = decoder().feed(piece({"content": "a"}, "stop", usage=usage))
    assert [("usage" in one, len(one["choices"])) for one in written(chunk)] == [(False, 1)]
    body, alone = written(chunk, wants_usage=True)
    assert (body["usage"], alone["usage"], alone["choices"]) == (None, usage, [])
    (only,) = decoder().feed(event({**HEAD, "choices": [], "usage": usage}))
    assert written(only) == []
    assert [one["usage"] for one in written(only, wants_usage=True)] == [usage]


def test_after_the_first_output_the_observer_gives_chunks_for_usage_only() -> None:
    stream = decoder(side_member="observe")
    assert len(stream.feed(piece({"role": "assistant"}))) == 1
    assert has_output(stream.feed(piece({"content": "a"}))[0])
    assert stream.feed(piece({"content": "ü"})) == []
    (chunk,) = stream.feed(piece({}, "stop", usage={"prompt_tokens": 1}))
    assert (chunk.usage.input_tokens, len(chunk.choices)) == (1, 1)
    assert stream.feed(DONE) == []
    assert stream.done
