"""OpenAI's whole answers both ways, and the check of an answer that passes unchanged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS, Context, GatewayError, Kind, Target, Task
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

OPENAI = FORMATS["openai"]
CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def answer(**change: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "logprobs": None, "finish_reason": "stop"}
    body = {"id": "c", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice], "usage": USAGE}
    return json.dumps({**body, **change}, ensure_ascii=False).encode()


def decoded(body: bytes, task: Task = Task.CHAT) -> Any:
    return OPENAI.provider[task].decode(body, CONTEXT)


def checked(body: bytes, task: Task = Task.CHAT) -> pb.Usage | None:
    check = OPENAI.provider[task].check
    assert check is not None
    return check(body)


def message(**members: Any) -> pb.Message:
    choice = {"index": 0, "message": {"role": "assistant", **members}, "finish_reason": "stop"}
    found: pb.Message = decoded(answer(choices=[choice])).choices[0].message
    return found


FULL = {
    "id": "c", "object": "chat.completion", "created": 7, "model": "m", "system_fingerprint": "fp", "service_tier": "flex",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant", "content": "é\u2028", "refusal": None, "reasoning_content": "hm",
                "annotations": [{"a": 1.0}],
                "tool_calls": [
                    {"id": "t", "type": "function", "index": 0, "function": {"name": "f", "arguments": '{"x": 1.0}'}}],
            },
            "logprobs": {
                "content": [{"token": "é", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": [
                    {"token": "e", "logprob": -1.5, "bytes": None}]}],
                "refusal": None,
            },
            "finish_reason": "tool_calls", "content_filter_results": {"hate": {"filtered": False}},
        },
        {"index": 1, "message": {"role": "assistant", "content": None, "refusal": "No."}, "logprobs": None,
         "finish_reason": "stop"},
    ],
    "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
              "completion_tokens_details": {"reasoning_tokens": 1}, "cost": 0.001},
    "provider": "x",
}  # fmt: skip


def test_an_answer_read_and_written_again_loses_nothing() -> None:
    read = decoded(json.dumps(FULL).encode())
    again = json.loads(OPENAI.client[Task.CHAT].encode_response(read))
    assert again == FULL


def test_the_named_fields_are_where_the_contract_says() -> None:
    read: pb.ChatResponse = decoded(json.dumps(FULL).encode())
    first, second = read.choices
    assert [part.WhichOneof("part") for part in first.message.content] == ["thinking", "text"]
    assert (first.finish_reason, first.native_finish_reason) == (pb.FINISH_REASON_TOOL_CALLS, "tool_calls")
    assert (second.finish_reason, second.native_finish_reason) == (pb.FINISH_REASON_STOP, "stop")
    assert second.message.content[0].refusal == "No."
    assert first.logprobs.content[0].utf8 == "é".encode()
    assert not first.logprobs.content[0].top[0].HasField("utf8")
    usage = read.usage
    assert (usage.cached_input_tokens, usage.reasoning_tokens, usage.total_tokens) == (1, 1, 5)
    assert not usage.HasField("cache_write_tokens")


def test_the_other_tasks_lose_nothing_either() -> None:
    completion = {
        "id": "c", "object": "text_completion", "created": 7, "model": "m",
        "choices": [{"index": 0, "text": "a", "logprobs": {"tokens": ["a"], "top_logprobs": [{"a": -0.1}]},
                     "finish_reason": "length", "stop_reason": 2}],
        "usage": USAGE, "kv": None,
    }  # fmt: skip
    read = decoded(json.dumps(completion).encode(), Task.COMPLETIONS)
    del completion["kv"]
    assert json.loads(OPENAI.client[Task.COMPLETIONS].encode_response(read)) == completion
    vectors = {
        "object": "list", "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -1e-9, 3]},
                 {"object": "embedding", "index": 1, "embedding": "AACAPwAAgL8=", "truncated": True}],
    }  # fmt: skip
    read = decoded(json.dumps(vectors).encode(), Task.EMBEDDINGS)
    assert json.loads(OPENAI.client[Task.EMBEDDINGS].encode_response(read)) == vectors


def test_a_field_wins_over_what_another_format_left_in_extra_json() -> None:
    choice = pb.Choice(message=pb.Message(content=[pb.ContentPart(text="a")], extra_json='{"content":"b","new":1}'))
    response = pb.ChatResponse(id="c", choices=[choice], extra_json='{"usage":5,"id":"other"}')
    body = json.loads(OPENAI.client[Task.CHAT].encode_response(response))
    assert (body["id"], body["usage"]) == ("c", 5)
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "a", "refusal": None, "new": 1}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"id": None, "created": None}, ("chatcmpl-1", CONTEXT.now_s)),
        ({"id": "", "created": 0}, ("chatcmpl-1", CONTEXT.now_s)),
        ({"id": 1234, "created": "1700"}, ("1234", 1700)),
        ({"created": 1700.25}, ("c", 1700)),
        ({"created": "now"}, ("c", CONTEXT.now_s)),
    ],
)
def test_ids_and_times_that_servers_leave_out_or_write_oddly(change: dict[str, Any], found: tuple[str, int]) -> None:
    read = decoded(answer(**change))
    assert (read.id, read.created) == found


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        (None, None),
        ("free", None),
        ([], None),
        ({}, None),
        ({"prompt_tokens": 3}, pb.Usage(input_tokens=3)),
        ({"prompt_tokens": 3, "completion_tokens": 2}, pb.Usage(input_tokens=3, output_tokens=2, total_tokens=5)),
        ({"prompt_tokens": None, "completion_tokens": 2}, pb.Usage(output_tokens=2)),
        ({"prompt_tokens": -1, "total_tokens": 2}, pb.Usage(total_tokens=2, extra_json='{"prompt_tokens":-1}')),
        ({"prompt_tokens": 2**31}, pb.Usage(extra_json='{"prompt_tokens":2147483648}')),
        ({"prompt_tokens": 1.5, "x": 1.0}, pb.Usage(extra_json='{"prompt_tokens":1.5,"x":1.0}')),
        ({"prompt_tokens_details": "none"}, pb.Usage(extra_json='{"prompt_tokens_details":"none"}')),
        ({"prompt_tokens_details": {"cached_tokens": 1, "a": 0}},
         pb.Usage(cached_input_tokens=1, extra_json='{"prompt_tokens_details":{"a":0}}')),
    ],
)  # fmt: skip
def test_usage_is_what_the_provider_counted_and_a_strange_one_costs_nobody_the_answer(usage: Any, found: Any) -> None:
    body = answer(usage=usage)
    read = decoded(body)
    assert (read.usage if read.HasField("usage") else None) == found
    assert checked(body) == found


@pytest.mark.parametrize("change", [{"content": None}, {}])
def test_an_answer_may_have_no_content(change: dict[str, Any]) -> None:
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}
    found = message(tool_calls=[call], **change)
    assert not found.content
    assert found.tool_calls[0].arguments_json == "{}"


def test_arguments_may_come_as_an_object_and_content_as_parts() -> None:
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": {"x": 1.0}}}
    assert message(content="", tool_calls=[call]).tool_calls[0].arguments_json == '{"x": 1.0}'
    parts = message(content=[{"type": "odd", "odd": []}, {"type": "text", "text": "a"}]).content
    assert (parts[0].other_json, parts[1].text) == ('{"type": "odd", "odd": []}', "a")


MISTRALS = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True}
DATABRICKS = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm", "signature": "s"}]}


@pytest.mark.parametrize(("provider", "part"), [("mistral", MISTRALS), ("databricks", DATABRICKS)])
def test_a_thought_among_the_parts_is_a_thought_and_goes_back_as_it_came(provider: str, part: dict[str, Any]) -> None:
    found = message(content=[part, {"type": "text", "text": "a"}])
    thought = found.content[0].thinking
    assert (thought.text, found.content[1].text) == ("hm", "a")
    assert thought.signature == (b"s" if part is DATABRICKS else b"")
    request = pb.ChatRequest(messages=[found])
    call = OPENAI.provider[Task.CHAT].encode(request, Target(PROVIDERS[provider], "m", "https://x"), False, CONTEXT)
    assert json.loads(call.body)["messages"][0]["content"] == [part, {"type": "text", "text": "a"}]


@pytest.mark.parametrize("part", [MISTRALS, DATABRICKS])
def test_openais_format_has_the_thought_beside_the_content(part: dict[str, Any]) -> None:
    answered = decoded(
        answer(choices=[{"index": 0, "message": {"role": "assistant", "content": [part]}, "finish_reason": "stop"}])
    )
    written = json.loads(OPENAI.client[Task.CHAT].encode_response(answered))["choices"][0]["message"]
    assert (written["reasoning_content"], written["content"]) == ("hm", None)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "thinking", "thinking": "hm"},
        {"type": "thinking", "thinking": [{"type": "image", "text": "x"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x", "more": 1}]},
        {"type": "reasoning", "text": "x"},
    ],
)
def test_a_thought_that_says_more_is_kept_whole(part: dict[str, Any]) -> None:
    assert json.loads(message(content=[part]).content[0].other_json) == part


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"x"', b"{}", b"<html>", answer()[:-1], answer() + b"x", answer() + answer(), answer(choices=None),
     answer(choices={}), answer(choices=[5]), answer().replace(b"Hi", b"\xff\xfe"), b'{"choices":' + b"[" * 10_000],
)  # fmt: skip
def test_a_body_that_is_not_one_answer_is_the_providers_fault(body: bytes) -> None:
    for read in (decoded, checked):
        with pytest.raises(GatewayError) as caught:
            read(body)
        assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


def test_vectors_are_checked_too() -> None:
    body = b'{"object":"list","data":[{"embedding":[1]}],"usage":{"prompt_tokens":1,"total_tokens":1}}'
    assert checked(body, Task.EMBEDDINGS) == pb.Usage(input_tokens=1, total_tokens=1)
    with pytest.raises(GatewayError):
        checked(b'{"object":"list","choices":[]}', Task.EMBEDDINGS)
    wrong: list[Any] = ["no base64 \u2028", "abc", {}, [None], ["1"], None]
    for vector in wrong:
        with pytest.raises(GatewayError) as caught:
            decoded(json.dumps({"data": [{"index": 0, "embedding": vector}]}).encode(), Task.EMBEDDINGS)
        assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


def test_an_error_inside_a_200_is_an_error() -> None:
    broken = {"index": 0, "error": {"code": 502, "message": "gone"}, "message": {"role": "assistant", "content": "Ha"}}
    filtered = {"error": {"message": "no", "code": "content_filter"}}
    for body, kind in (
        (answer(choices=[broken]), Kind.UPSTREAM_UNAVAILABLE),
        (json.dumps(filtered).encode(), Kind.CONTENT_FILTERED),
    ):
        for read in (decoded, checked):
            with pytest.raises(GatewayError) as caught:
                read(body)
            assert caught.value.kind is kind
