"""Anthropic's answers, unary and streamed, and its errors, as the canonical messages say them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.anthropic import FORMAT
from adapters.contract import Context, Decoder, Target, Task
from adapters.errors import GatewayError, Kind
from adapters.providers import PROVIDERS
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")
TARGET = Target(PROVIDERS["anthropic"], "claude-sonnet-4-5", "https://api.anthropic.com")
CHAT = FORMAT.provider[Task.CHAT]
RECORDINGS = Path(__file__).parents[1] / "recordings" / "anthropic"


def recording(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDINGS / f"messages__{name}.json").read_text())
    return found


def decoder() -> Decoder:
    assert CHAT.stream is not None
    return CHAT.stream(TARGET, CONTEXT)


def event(data: object) -> Event:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Event("message", raw, raw)


def events_of(name: str) -> list[Event]:
    lines = recording(name)["response"]["sse"].split("\n")
    return [event(line[6:].encode()) for line in lines if line.startswith("data: ")]


def chunks_of(events: list[Event]) -> list[pb.StreamChatResponse]:
    stream = decoder()
    chunks = [chunk for one in events for chunk in stream.feed(one)]
    return [*chunks, *stream.close()]


def decoded(name: str) -> pb.ChatResponse:
    response: pb.ChatResponse = CHAT.decode(json.dumps(recording(name)["response"]["body"]).encode(), CONTEXT)
    return response


def test_text_keeps_its_blocks_citations_and_the_stop_sequence_that_was_met() -> None:
    answer = decoded("sync__text")
    (choice,) = answer.choices
    assert [part.text for part in choice.message.content] == ["Grüß dich \u2028 — ", "hello."]
    assert json.loads(choice.message.content[1].extra_json)["citations"][0]["cited_text"] == "x"
    assert (choice.finish_reason, choice.native_finish_reason) == (pb.FINISH_REASON_STOP, "stop_sequence")
    assert json.loads(answer.extra_json) == {"stop_sequence": "END"}
    assert (answer.created, answer.service_tier) == (CONTEXT.now_s, "standard")


def test_tool_input_is_the_bytes_that_came() -> None:
    body = b"""{"type":"message","role":"assistant","id":"m","model":"x","stop_reason":"tool_use","content":[
        {"type":"tool_use","id":"a","name":"f","input":{ "x": 12345678901234567890123, "y": 1.0e5 }},
        {"type":"tool_use","id":"b","name":"g","input":{},"caller":{"type":"direct"}},
        {"type":"server_tool_use","id":"c","name":"web_search","input":{"q": 1.0}}]}"""
    answer = CHAT.decode(body, CONTEXT)
    message = answer.choices[0].message
    assert [call.arguments_json for call in message.tool_calls] == [
        '{ "x": 12345678901234567890123, "y": 1.0e5 }',
        "{}",
    ]
    assert message.tool_calls[1].extra_json == '{"caller":{"type":"direct"}}'
    assert message.content[0].other_json == '{"type":"server_tool_use","id":"c","name":"web_search","input":{"q": 1.0}}'
    assert not answer.HasField("usage")


def test_input_tokens_contain_the_cached_ones() -> None:
    usage = decoded("sync__usage_with_cache").usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens) == (537, 500, 30)
    assert (usage.output_tokens, usage.total_tokens) == (16, 553)
    assert json.loads(usage.extra_json)["cache_creation"]["ephemeral_1h_input_tokens"] == 30


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("end_turn", pb.FINISH_REASON_STOP),
        ("max_tokens", pb.FINISH_REASON_LENGTH),
        ("model_context_window_exceeded", pb.FINISH_REASON_LENGTH),
        ("refusal", pb.FINISH_REASON_CONTENT_FILTER),
        ("pause_turn", pb.FINISH_REASON_OTHER),
        ("something_new", pb.FINISH_REASON_OTHER),
    ],
)
def test_stop_reasons_keep_the_native_word(native: str, reason: pb.FinishReason) -> None:
    body = {"type": "message", "role": "assistant", "content": [], "stop_reason": native}
    choice = CHAT.decode(json.dumps(body).encode(), CONTEXT).choices[0]
    assert (choice.finish_reason, choice.native_finish_reason) == (reason, native)


@pytest.mark.parametrize("content", [b"", b',"content":null', b',"content":"text"', b',"content":[1]'])
def test_a_message_without_its_content_is_no_answer(content: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        CHAT.decode(b'{"type":"message","role":"assistant"' + content + b"}", CONTEXT)
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


def test_a_stream_counts_the_start_s_input_and_the_last_output_and_never_adds() -> None:
    chunks = chunks_of(events_of("stream__text_usage_with_cache"))
    assert "".join(c.delta.content for chunk in chunks for c in chunk.choices) == "Hello, wörld\u2028."
    assert [chunk.HasField("usage") for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    usage = chunks[-1].usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.total_tokens) == (
        903,
        900,
        6,
        909,
    )
    assert {(chunk.id, chunk.model) for chunk in chunks} == {("msg_own", "claude-sonnet-4-5-20250929")}
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == [pb.FINISH_REASON_STOP]


def test_streamed_tool_calls_are_numbered_by_call_and_one_without_input_is_an_empty_object() -> None:
    calls: dict[int, list[str]] = {}
    for chunk in chunks_of(events_of("stream__parallel_tools")):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls:
                seen = calls.setdefault(call.index, ["", "", ""])
                seen[:] = [seen[0] + call.id, seen[1] + call.name, seen[2] + call.arguments_json]
    assert calls == {
        0: ["toolu_a", "now", "{}"],
        1: ["toolu_b", "get_weather", '{"city": "Oslo", "days": 12345678901234567890.50}'],
    }


def test_streamed_thinking_keeps_its_signature_and_redacted_thoughts() -> None:
    chunks = chunks_of(events_of("stream__thinking_with_signature"))
    thoughts = [c.delta.thinking for chunk in chunks for c in chunk.choices if c.delta.HasField("thinking")]
    assert "".join(t.text for t in thoughts if t.index == 0) == "Three and three."
    assert [t.signature for t in thoughts if t.HasField("signature")] == [b"c2lnMg=="]
    assert [(t.index, t.redacted) for t in thoughts if t.HasField("redacted")] == [(1, b"Z2VoZWlt")]
    assert chunks[-1].usage.reasoning_tokens == 9


def test_server_tools_and_unknown_events_in_a_stream_are_kept_in_extra_members() -> None:
    first, *rest = events_of("stream__text_usage_with_cache")
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    news = [
        event({"type": "content_block_start", "index": 7, "content_block": block}),
        event(
            {
                "type": "content_block_delta",
                "index": 7,
                "delta": {"type": "input_json_delta", "partial_json": '{"q": 1.0}'},
            }
        ),
        event({"type": "content_block_stop", "index": 7}),
        event({"type": "weather_report", "sun": True}),
    ]
    chunks = chunks_of([first, *news, *rest])
    (kept,) = [c.delta.extra_json for chunk in chunks for c in chunk.choices if c.delta.extra_json]
    assert json.loads(kept)["content_blocks"] == [{**block, "input": {"q": 1.0}, "index": 0}]
    assert '"input":{"q": 1.0}' in kept
    assert [json.loads(c.extra_json) for c in chunks if c.extra_json] == [
        {"events": [{"type": "weather_report", "sun": True}]}
    ]


def test_an_error_event_raises_its_reason_in_mid_stream() -> None:
    with pytest.raises(GatewayError) as caught:
        chunks_of(events_of("stream__error_event"))
    assert (caught.value.kind, caught.value.code) == (Kind.UPSTREAM_UNAVAILABLE, "overloaded_error")


@pytest.mark.parametrize("name", ["text_usage_with_cache", "parallel_tools", "thinking_with_signature"])
def test_a_stream_that_ends_early_is_an_upstream_protocol_error_and_nothing_follows_its_end(name: str) -> None:
    events = events_of(f"stream__{name}")
    finish = next(number for number, one in enumerate(events) if b'"message_delta"' in one.data)
    for length in range(finish + 1):
        with pytest.raises(GatewayError) as caught:
            chunks_of(events[:length])
        assert caught.value.kind is Kind.UPSTREAM_PROTOCOL
    assert chunks_of([*events, event(b"[DONE]")]) == chunks_of(events)
    assert chunks_of(events[: finish + 1]) == chunks_of(events), (
        "the stop reason came: all that is missing is the marker"
    )


@pytest.mark.parametrize(
    "broken",
    [
        [1, 1],  # a second message_start
        [0, 0],
        [0, 3],  # a delta for a block that was never opened
        [3],  # before message_start
        [0, -1],  # message_stop without a stop reason
    ],
)
def test_an_illegal_order_of_events_is_an_upstream_protocol_error(broken: list[int]) -> None:
    events = events_of("stream__text_usage_with_cache")
    with pytest.raises(GatewayError) as caught:
        chunks_of([events[number] for number in broken])
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize(
    ("status", "type_", "text", "kind"),
    [
        (400, "invalid_request_error", "messages: wrong", Kind.INVALID_REQUEST),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", Kind.CONTEXT_LENGTH_EXCEEDED),
        (400, "invalid_request_error", "Your credit balance is too low to access", Kind.QUOTA_EXHAUSTED),
        (401, "authentication_error", "invalid x-api-key", Kind.UPSTREAM_REJECTED_CREDENTIALS),
        (403, "permission_error", "no", Kind.UPSTREAM_REJECTED_CREDENTIALS),
        (402, "billing_error", "no", Kind.QUOTA_EXHAUSTED),
        (404, "not_found_error", "model: x", Kind.UPSTREAM_NOT_FOUND),
        (413, "request_too_large", "no", Kind.REQUEST_TOO_LARGE),
        (429, "rate_limit_error", "slow down", Kind.RATE_LIMITED),
        (500, "api_error", "no", Kind.UPSTREAM_UNAVAILABLE),
        (504, "timeout_error", "no", Kind.UPSTREAM_TIMEOUT),
        (529, "overloaded_error", "Overloaded", Kind.UPSTREAM_UNAVAILABLE),
        (529, "a_new_error", "no", Kind.UPSTREAM_UNAVAILABLE),
    ],
)
def test_an_error_body_names_the_reason(status: int, type_: str, text: str, kind: Kind) -> None:
    body = json.dumps({"type": "error", "error": {"type": type_, "message": text}}).encode()
    error = FORMAT.error(status, {"retry-after": "7"}, body)
    code = None if kind is Kind.CONTEXT_LENGTH_EXCEEDED else type_  # there clients compare OpenAI's word
    assert (error.kind, error.code, error.status, error.message) == (kind, code, status, text)
    assert error.retry_after_s == 7


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "error", "message", "content", "delta", "usage", "index"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()), status=st.integers(0, 999))
def test_any_bytes_give_an_answer_or_a_gateway_error(body: bytes, status: int) -> None:
    assert isinstance(FORMAT.error(status, {}, body), GatewayError)
    for decode in (lambda: CHAT.decode(body, CONTEXT), lambda: chunks_of([event(body)])):
        try:
            decode()
        except GatewayError:
            pass


@given(data=st.data(), name=st.sampled_from(["text_usage_with_cache", "parallel_tools", "thinking_with_signature"]))
def test_a_mutated_stream_gives_chunks_or_a_gateway_error(data: st.DataObject, name: str) -> None:
    events = events_of(f"stream__{name}")
    number = data.draw(st.integers(0, len(events) - 1))
    raw = bytearray(events[number].data)
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    members = json.loads(events[number].data)
    key = data.draw(st.sampled_from(sorted(members)))
    changed = data.draw(st.sampled_from([bytes(raw), json.dumps({**members, key: data.draw(JSON)}).encode()]))
    try:
        chunks_of([*events[:number], event(changed), *events[number + 1 :]])
    except GatewayError:
        pass
