"""What Cohere's /v2/chat answers, whole and in pieces, and why calls fail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import GatewayError, Kind, Task
from adapters.chunks import accumulate_chat
from adapters.cohere import FORMAT
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.cohere_calls import CONTEXT, target

CHAT = FORMAT.provider[Task.CHAT]
USAGE = {
    "billed_units": {"input_tokens": 3, "output_tokens": 5},
    "tokens": {"input_tokens": 71, "output_tokens": 6, "reasoning_tokens": 2, "image_tokens": 9},
    "cached_tokens": 64,
}


def answer_of(message: dict[str, Any], finish: str = "COMPLETE", **more: Any) -> pb.ChatResponse:
    body = {"id": "1", "message": {"role": "assistant"} | message, "finish_reason": finish} | more
    answer: pb.ChatResponse = CHAT.decode(json.dumps(body).encode(), CONTEXT)
    return answer


def event(type_: str, message: dict[str, Any] | None = None, **more: Any) -> bytes:
    delta = {} if message is None else {"delta": {"message": message}}
    return json.dumps({"type": type_} | delta | more).encode()


START = event("message-start", {"role": "assistant", "content": [], "tool_calls": []}, id="1")
DONE = b"[DONE]"


def end(finish: str = "COMPLETE", **more: Any) -> bytes:
    return json.dumps({"type": "message-end", "delta": {"finish_reason": finish} | more}).encode()


def chunks_of(*events: bytes, closed: bool = True) -> list[pb.StreamChatResponse]:
    assert CHAT.stream is not None
    decoder = CHAT.stream(target(), CONTEXT)
    out: list[pb.StreamChatResponse] = []
    for data in events:
        out += decoder.feed(Event("", data, data))
    return out + (decoder.close() if closed else [])


def call_start(index: int, name: str, arguments: str = "") -> bytes:
    function = {"name": name, "arguments": arguments}
    return event(
        "tool-call-start", {"tool_calls": {"id": f"id-{name}", "type": "function", "function": function}}, index=index
    )


def call_delta(index: int, arguments: str) -> bytes:
    return event("tool-call-delta", {"tool_calls": {"function": {"arguments": arguments}}}, index=index)


def test_counts_are_tokens_and_billed_units_stay_beside_them() -> None:
    usage = answer_of({"content": [{"type": "text", "text": "a"}]}, usage=USAGE).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (80, 6, 86)
    assert (usage.cached_input_tokens, usage.reasoning_tokens) == (64, 2)
    assert json.loads(usage.extra_json) == {"tokens": {"image_tokens": 9}, "billed_units": USAGE["billed_units"]}


@pytest.mark.parametrize(
    "usage", [{}, None, "many", {"tokens": {"input_tokens": -1}}, {"tokens": {"input_tokens": 1.5}}]
)
def test_missing_or_strange_usage_costs_nobody_the_answer(usage: Any) -> None:
    answer = answer_of({"content": [{"type": "text", "text": "a"}]}, usage=usage)
    assert answer.choices[0].message.content[0].text == "a"
    assert not answer.usage.HasField("input_tokens")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("COMPLETE", pb.FINISH_REASON_STOP),
        ("STOP_SEQUENCE", pb.FINISH_REASON_STOP),
        ("MAX_TOKENS", pb.FINISH_REASON_LENGTH),
        ("ERROR_LIMIT", pb.FINISH_REASON_LENGTH),
        ("TOOL_CALL", pb.FINISH_REASON_TOOL_CALLS),
        ("ERROR_TOXIC", pb.FINISH_REASON_CONTENT_FILTER),
        ("TIMEOUT", pb.FINISH_REASON_OTHER),
        ("NEW_WORD", pb.FINISH_REASON_OTHER),
    ],
)
def test_finish_reasons_are_mapped_and_keep_coheres_word(word: str, reason: pb.FinishReason) -> None:
    whole = answer_of({"content": []}, word).choices[0]
    piece = chunks_of(START, end(word), DONE)[-1].choices[0]
    for choice in (whole, piece):
        assert (choice.finish_reason, choice.native_finish_reason) == (reason, word)


@pytest.mark.parametrize("arguments", ["", "null", " null "])
def test_a_call_without_arguments_has_an_empty_object(arguments: str) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    assert answer_of({"tool_calls": [call]}).choices[0].message.tool_calls[0].arguments_json == "{}"
    pieces = [call_delta(0, piece) for piece in arguments]
    for ended in ([event("tool-call-end", index=0)], []):
        answer = accumulate_chat(chunks_of(START, call_start(0, "f"), *pieces, *ended, end("TOOL_CALL"), DONE))
        assert answer.choices[0].message.tool_calls[0].arguments_json == "{}"


def test_a_tool_plan_is_a_thought_by_its_own_name_and_citations_stay_with_the_message() -> None:
    message = answer_of({"tool_plan": "I look.", "citations": [{"start": 0, "score": 1.50}]}).choices[0].message
    assert message.content[0].thinking == pb.Thinking(text="I look.", native_name="tool_plan")
    assert message.extra_json == '{"citations":[{"start": 0, "score": 1.5}]}'


def test_interleaved_calls_are_numbered_by_call_whatever_the_provider_says() -> None:
    events = [call_start(7, "f"), call_start(3, "g"), call_delta(7, '{"a"'), call_delta(3, "{}"), call_delta(7, ":1}")]
    chunks = chunks_of(START, *events, event("tool-call-end", index=7), event("tool-call-end", index=3), end(), DONE)
    numbers = [
        (call.index, call.arguments_json) for chunk in chunks for c in chunk.choices for call in c.delta.tool_calls
    ]
    assert numbers == [(0, ""), (1, ""), (0, '{"a"'), (1, "{}"), (0, ":1}")]
    calls = accumulate_chat(chunks).choices[0].message.tool_calls
    assert [(call.id, call.name, call.arguments_json) for call in calls] == [
        ("id-f", "f", '{"a":1}'),
        ("id-g", "g", "{}"),
    ]


def test_an_index_used_again_after_its_call_ended_is_another_call() -> None:
    first = [call_start(0, "f", "{}"), event("tool-call-end", index=0)]
    chunks = chunks_of(START, *first, call_start(0, "g"), call_delta(0, '{"b":2}'), end(), DONE)
    calls = accumulate_chat(chunks).choices[0].message.tool_calls
    assert [(call.name, call.arguments_json) for call in calls] == [("f", "{}"), ("g", '{"b":2}')]


def test_a_stream_adds_up_to_the_whole_answer() -> None:
    parts = [{"type": "thinking", "thinking": "hm so"}, {"type": "text", "text": "Grüß dich"}]
    cited = [{"start": 0, "text": "Grüß"}, {"start": 5, "text": "dich"}]
    whole = answer_of({"content": parts, "citations": cited}, usage=USAGE)
    pieces = [
        event("content-start", {"content": {"type": "thinking", "thinking": ""}}, index=0),
        event("content-delta", {"content": {"thinking": "hm"}}, index=0),
        event("content-delta", {"content": {"thinking": " so"}}, index=0),
        event("content-end", index=0),
        event("content-start", {"content": {"type": "text", "text": ""}}, index=1),
        event("content-delta", {"content": {"text": "Grüß"}}, index=1),
        event("citation-start", {"citations": cited[0]}, index=0),
        event("citation-end", index=0),
        event("content-delta", {"content": {"text": " dich"}}, index=1),
        event("citation-start", {"citations": cited[1]}, index=1),
        event("content-end", index=1),
        end(usage=USAGE),
        DONE,
    ]
    streamed = accumulate_chat(chunks_of(START, *pieces))
    for answer in (whole, streamed):  # JSON in extra_json may be spaced otherwise
        for holder in (answer.choices[0].message, answer.usage):
            holder.extra_json = json.dumps(json.loads(holder.extra_json))
    assert streamed == whole


def test_probabilities_of_single_tokens_are_typed_and_others_stay_as_they_came() -> None:
    item = {"text": "a", "token_ids": [1], "logprobs": [-0.5]}
    answer = answer_of({"content": []}, logprobs=[item])
    assert [(one.token, one.logprob) for one in answer.choices[0].logprobs.content] == [("a", -0.5)]
    several = answer_of({"content": []}, logprobs=[item | {"logprobs": [-0.5, -1.0]}])
    assert json.loads(several.extra_json)["logprobs"][0]["logprobs"] == [-0.5, -1.0]
    piece = event("content-delta", {"content": {"text": "a"}}, index=0, logprobs=item)
    streamed = accumulate_chat(chunks_of(START, piece, end(), DONE))
    assert streamed.choices[0].logprobs == answer.choices[0].logprobs


def test_events_and_blocks_newer_than_this_code_are_kept() -> None:
    chunks = chunks_of(START, event("debug", index=5), end(), DONE)
    assert json.loads(chunks[1].extra_json) == {"events": [{"type": "debug", "index": 5}]}
    block = {"type": "image", "url": "x"}
    whole = answer_of({"content": [block]}).choices[0].message.content[0]
    assert json.loads(whole.other_json) == block
    streamed = chunks_of(START, event("content-start", {"content": block}, index=0), end(), DONE)
    assert json.loads(streamed[1].choices[0].delta.extra_json) == {"content_blocks": [{**block, "index": 0}]}


@pytest.mark.parametrize(
    "events",
    [
        [],
        [START],
        [DONE],
        [START, DONE],
        [START, START],
        [end()],
        [event("content-delta", {"content": {"text": "a"}}, index=0)],
        [START, call_delta(0, "{}")],
        [START, call_start(0, "f"), event("tool-call-end", index=0), call_delta(0, "{}")],
        [START, event("content-delta", index=0)],
        [START, event("tool-call-start", {}, index=0)],
        [START, json.dumps({"type": "message-end", "delta": {}}).encode()],
        [START, b"nonsense"],
        [b'{"message":null}'],
        [START, b"{}"],
        [START, b'{"type":"content-delta","index":"x","delta":{"message":{"content":{"thinking":"a"}}}}'],
    ],
)
def test_a_stream_that_is_cut_or_out_of_order_is_no_success(events: list[bytes]) -> None:
    with pytest.raises(GatewayError) as caught:
        chunks_of(*events)
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize(
    ("stream_end", "whole_after_finish", "whole_before"),
    [("finish", True, False), ("close", True, True), ("done", False, False)],
)
def test_the_end_of_the_body_ends_a_stream_where_the_target_says_so(
    stream_end: str, whole_after_finish: bool, whole_before: bool
) -> None:
    assert CHAT.stream is not None
    at = target(stream_end=stream_end)
    for events, whole in (([START, end()], whole_after_finish), ([START], whole_before)):
        decoder = CHAT.stream(at, CONTEXT)
        for data in events:
            decoder.feed(Event("", data, data))
        if whole:
            assert decoder.close() == []
            continue
        with pytest.raises(GatewayError):
            decoder.close()


def test_an_error_at_the_end_of_a_stream_or_in_an_answer_is_a_failure() -> None:
    failure = {"error": "invalid tool generation", "error_type": "INVALID_TOOL_GENERATION"}
    for read in (lambda: chunks_of(START, end("ERROR", **failure)), lambda: answer_of({}, "ERROR", **failure)):
        with pytest.raises(GatewayError) as caught:
            read()
        error = caught.value
        assert (error.kind, error.message, error.code) == (
            Kind.UPSTREAM_UNAVAILABLE,
            "invalid tool generation",
            "INVALID_TOOL_GENERATION",
        )


def test_an_error_body_that_comes_with_200_is_a_failure_with_its_words() -> None:
    body = b'{"id":"1","message":"internal server error"}'
    for read in (lambda: CHAT.decode(body, CONTEXT), lambda: chunks_of(START, body), lambda: chunks_of(body)):
        with pytest.raises(GatewayError) as caught:
            read()
        assert (caught.value.kind, caught.value.message) == (Kind.UPSTREAM_UNAVAILABLE, "internal server error")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"message":[]}', b'{"message":null}', b'{"message":{"content":[{}]}}', b"{\xff}"]
)
def test_a_body_that_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        CHAT.decode(body, CONTEXT)
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, b'{"id":"1","message":"bad p"}', Kind.INVALID_REQUEST, "bad p"),
        (400, b'{"message":"too many tokens: 9","error_type":"TOO_MANY_TOKENS"}', Kind.CONTEXT_LENGTH_EXCEEDED, None),
        (401, b'{"id":"1","message":"invalid api token"}', Kind.UPSTREAM_REJECTED_CREDENTIALS, "invalid api token"),
        (402, b'{"message":"Billing limit reached"}', Kind.QUOTA_EXHAUSTED, None),
        (404, b'{"message":"model \'x\' not found"}', Kind.UPSTREAM_NOT_FOUND, None),
        (422, b'{"message":"unprocessable"}', Kind.INVALID_REQUEST, None),
        (429, b'{"message":"limited to 1000 API calls / month"}', Kind.QUOTA_EXHAUSTED, None),
        (429, b'{"message":"limited to 20 API calls / minute"}', Kind.RATE_LIMITED, None),
        (429, b"", Kind.RATE_LIMITED, "The provider answered HTTP 429."),
        (498, b'{"message":"invalid token"}', Kind.UPSTREAM_REJECTED_CREDENTIALS, None),
        (499, b'{"message":"request cancelled"}', Kind.UPSTREAM_TIMEOUT, None),
        (501, b'{"message":"not implemented"}', Kind.INVALID_REQUEST, None),
        (503, b"<html>busy</html>", Kind.UPSTREAM_UNAVAILABLE, "The provider answered HTTP 503."),
        (503, b"upstream connect error", Kind.UPSTREAM_UNAVAILABLE, "upstream connect error"),
        (504, b'{"data":"gateway timeout"}', Kind.UPSTREAM_TIMEOUT, None),
        (500, b'{"error":{"message":"inner"}}', Kind.UPSTREAM_UNAVAILABLE, "inner"),
        (500, b"\xff\xfe", Kind.UPSTREAM_UNAVAILABLE, "The provider answered HTTP 500."),
    ],
)
def test_error_bodies_of_any_kind_have_their_reason(status: int, body: bytes, kind: Kind, message: str | None) -> None:
    error = FORMAT.error(status, {"retry-after": "7"}, body)
    assert (error.kind, error.status, error.retry_after_s) == (kind, status, 7.0)
    assert message is None or error.message == message
