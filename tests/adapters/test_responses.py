"""OpenAI's Responses API: what real programs send is read, and every answer comes as events that add up to the whole one."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import FORMATS, Context, Envelope, Event, GatewayError, HttpCall, Kind, Target, Task
from adapters.chunks import accumulate_chat
from adapters.providers import PROVIDERS
from adapters.responses.answer import encode_response
from adapters.responses.sealed import opened, sealed
from adapters.responses.stream import ResponseWriter
from adapters.responses.tool_names import flat_name
from adapters.sse import Parser
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.laws import Case, cases
from tests.adapters.meaning import chunks_of
from tests.provider.openai_responses import CALL, MESSAGE, REASONING, answer, events
from tests.shared import shared_path

NUMBERS = itertools.count()
CONTEXT = Context(7, lambda prefix: f"{prefix}{next(NUMBERS)}", "m")
CLIENT = FORMATS["responses"].client[Task.CHAT]
PROVIDER = FORMATS["responses"].provider[Task.CHAT]
STREAMS = [case for case in cases() if case.streamed and not case.failed and case.task is Task.CHAT]
PROGRAMS = sorted((path / "recordings" / "_agents").glob("*__responses__*.json")) if (path := shared_path()) else []
# What the gateway refuses of what real programs send, and why.
REFUSED = {
    "second-turn-chat-default-store": "input[1]",
    "second-turn-gpt5-reasoning-default-store-2": "input[2]",
    "create-string": "truncation",
    "previous": "previous_response_id",
}


def target(provider: str = "groq") -> Target:
    return Target(PROVIDERS[provider], "m", "http://h/v1")


def opened_body(body: dict[str, Any]) -> Envelope:
    return CLIENT.open(json.dumps({"model": "r", **body}).encode())


def request_of(body: dict[str, Any]) -> pb.ChatRequest:
    request: Any = CLIENT.decode_request(opened_body(body))
    assert isinstance(request, pb.ChatRequest)
    return request


def sent_by(body: dict[str, Any], provider: str) -> dict[str, Any]:
    """The body that a provider of another format gets."""
    assert CLIENT.fit is not None
    to = target(provider)
    side = FORMATS[to.provider.format].provider[Task.CHAT]
    call: HttpCall = side.encode(CLIENT.fit(request_of(body), to), to, False, CONTEXT)
    found: dict[str, Any] = json.loads(call.body)
    return found


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_what_real_programs_send_is_read(path: Path) -> None:
    recording = json.loads(path.read_text())
    if recording["method"] != "POST" or not recording["path_with_query"].startswith("/v1/responses"):
        return
    name = path.stem.rpartition("__")[2]
    if name in REFUSED:
        with pytest.raises(GatewayError) as caught:
            CLIENT.decode_request(CLIENT.open(json.dumps(recording["body"]).encode()))
        assert (caught.value.kind, caught.value.param) == (Kind.UNSUPPORTED_PARAMETER, REFUSED[name])
        return
    sent = sent_by(recording["body"], "groq")
    calls = [call for message in sent["messages"] for call in message.get("tool_calls", ())]
    results = [message["tool_call_id"] for message in sent["messages"] if message["role"] == "tool"]
    assert [call["id"] for call in calls] == results  # each where it was
    items = recording["body"]["input"]
    wanted = [item for item in items if isinstance(item, dict) and item.get("type", "").endswith("_output")]
    assert len(results) == len(wanted)


def test_a_namespace_goes_as_names_of_functions_and_comes_back() -> None:
    inner = {"type": "function", "name": "close_agent", "parameters": {}}
    body = {
        "tools": [{"type": "namespace", "name": "multi", "tools": [inner]}],
        "input": [
            {"role": "user", "content": "x"},
            {"type": "function_call", "call_id": "c", "namespace": "multi", "name": "close_agent", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
        ],
    }
    sent = sent_by(body, "groq")
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["multi__close_agent"]
    assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == "multi__close_agent"
    reply = pb.ChatResponse()
    reply.choices.add().message.tool_calls.add(id="d", name="multi__close_agent", arguments_json='{"a":1}')
    (item,) = json.loads(encode_response(opened_body(body), reply, CONTEXT))["output"]
    assert (item["namespace"], item["name"], item["arguments"]) == ("multi", "close_agent", '{"a":1}')


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_a_flat_name_is_short_enough_and_one_tools_alone(namespace: str, name: str) -> None:
    assert len(flat_name(namespace, name)) <= 64
    assert flat_name(namespace, name) == flat_name(namespace, name)
    assert flat_name(namespace, name) != flat_name(namespace + "x", name)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_custom_tool_is_a_function_where_there_are_none_and_its_text_comes_back(streamed: bool) -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}
    body = {
        "tools": [{"type": "custom", "name": "patch", "description": "Patches.", "format": grammar}],
        "tool_choice": {"type": "custom", "name": "patch"},
        "input": [
            {"role": "user", "content": "x"},
            {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": 'a "b"\n'},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        ],
    }
    sent = sent_by(body, "anthropic")
    (tool,) = sent["tools"]
    assert tool["input_schema"]["required"] == ["input"]
    assert "start: /a+/" in tool["description"]
    assert sent["messages"][1]["content"][0]["input"] == {"input": 'a "b"\n'}
    assert sent["tool_choice"] == {"type": "tool", "name": "patch"}
    arguments = '{"input":"b \\"c\\"\\n"}'
    reply = pb.ChatResponse()
    reply.choices.add().message.tool_calls.add(id="d", name="patch", arguments_json=arguments)
    if streamed:
        writer = ResponseWriter(opened_body(body), CONTEXT)
        pieces = [
            pb.ToolCallDelta(index=0, id="d", name="patch"),
            *(pb.ToolCallDelta(index=0, arguments_json=c) for c in arguments),
        ]
        chunks = [
            pb.StreamChatResponse(choices=[pb.ChunkChoice(delta=pb.Delta(tool_calls=[piece]))]) for piece in pieces
        ]
        found_events = read(writer.feed(chunks) + writer.end())
        (item,) = found_events[-1]["response"]["output"]
        assert "".join(each["delta"] for each in found_events if each["type"].endswith("input.delta")) == 'b "c"\n'
    else:
        (item,) = json.loads(encode_response(opened_body(body), reply, CONTEXT))["output"]
    assert (item["type"], item["call_id"], item["input"]) == ("custom_tool_call", "d", 'b "c"\n')


def test_only_allowed_tools_are_sent() -> None:
    tools: list[dict[str, Any]] = [{"type": "function", "name": name, "parameters": {}} for name in ("a", "b")]
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "b"}]}
    sent = sent_by({"input": "x", "tools": tools, "tool_choice": choice}, "groq")
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["b"]
    assert sent["tool_choice"] == "required"


THOUGHTS = st.builds(
    lambda text, signature, redacted, format_: pb.Thinking(
        text=text, signature=signature, redacted=redacted, format=format_
    ),
    st.text(max_size=20),
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=20),
    st.none() | st.sampled_from(["anthropic-claude-v1", "google-gemini-v1"]),
)


@given(THOUGHTS)
def test_a_thought_comes_back_as_it_went(thought: pb.Thinking) -> None:
    back = opened(thought.text, sealed(thought))
    assert back.native_name == "reasoning_content"
    back.ClearField("native_name")
    assert back == thought


@pytest.mark.parametrize("content", ["sidecar-thought.", "sidecar-thought.%%%", "sidecar-thought.AAAA", "gAAAA", ""])
def test_a_thought_that_cannot_be_opened_is_nobodys(content: str) -> None:
    thought = opened("text", content)
    assert not thought.signature
    assert thought.format != "anthropic-claude-v1"


def read(sse: bytes) -> list[dict[str, Any]]:
    parser = Parser()
    found = []
    for event in [*parser.feed(sse), *parser.close()]:
        members: dict[str, Any] = json.loads(event.data)
        assert members["type"] == event.name
        found.append(members)
    return found


def check(found_events: list[dict[str, Any]]) -> dict[str, Any]:
    """What a reader may rely on; the last response."""
    assert [each["sequence_number"] for each in found_events] == list(range(len(found_events)))
    assert found_events[0]["type"] == "response.created"
    added = {
        each["output_index"]: each["item"]["id"]
        for each in found_events
        if each["type"] == "response.output_item.added"
    }
    done = [
        (each["output_index"], each["item"]) for each in found_events if each["type"] == "response.output_item.done"
    ]
    assert {index: item["id"] for index, item in done} == added
    assert len(done) == len(added)
    texts: dict[tuple[Any, ...], str] = {}
    for each in found_events:
        place = (each["type"].rpartition(".")[0], each.get("item_id"), each.get("content_index"))
        if each["type"].endswith(".delta"):
            texts[place] = texts.get(place, "") + each["delta"]
        elif each["type"].endswith(".done") and place in texts:
            whole = next(each[name] for name in ("text", "refusal", "arguments", "input") if name in each)
            assert texts.pop(place) == whole
    assert not texts
    last: dict[str, Any] = found_events[-1]["response"]
    assert last["output"] == [item for _, item in sorted(done, key=lambda pair: pair[0])]
    return last


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.path.stem)
def test_every_recorded_stream_adds_up_to_the_whole_answer(case: Case) -> None:
    chunks = chunks_of(case, [case.sse])
    envelope = opened_body({"input": "x"})
    writer = ResponseWriter(envelope, CONTEXT)
    sse = b"".join([*(writer.feed([chunk]) for chunk in chunks), writer.end()])
    last = check(read(sse))
    whole = json.loads(encode_response(envelope, accumulate_chat(chunks), CONTEXT))
    assert last["status"] == whole["status"]
    assert last["usage"] == whole["usage"]
    assert _output_text(last["output"]) == _output_text(whole["output"])


def _output_text(output: list[dict[str, Any]]) -> dict[str, str]:
    """All texts, all thoughts, and each call: a stream that goes from one to another and back has more items."""
    found = {"message": "", "reasoning": ""}
    for item in output:
        parts = item.get("content", item.get("summary", ()))
        if parts or item["type"] in found:
            found[item["type"]] += "".join(part.get("text", part.get("refusal")) for part in parts)
        else:
            found[item["call_id"]] = item["name"] + item.get("arguments", item.get("input"))
    return found


def answer_of_route(items: list[dict[str, Any]], *, streamed: bool, cut: int = 0) -> pb.ChatResponse:
    """What a route with chat_api: responses gives, as one answer."""
    if not streamed:
        found: Any = PROVIDER.decode(json.dumps(answer(*items), separators=(",", ":")).encode(), CONTEXT)
        assert isinstance(found, pb.ChatResponse)
        return found
    assert PROVIDER.stream is not None
    decoder = PROVIDER.stream(target("openai"), CONTEXT)
    chunks = []
    for raw in events(*items):
        for event in Parser().feed(raw):
            chunks += decoder.feed(event)
    return accumulate_chat(chunks + decoder.close())


def test_an_answer_of_openais_is_the_same_whole_and_streamed() -> None:
    whole, streamed = (answer_of_route([REASONING, MESSAGE, CALL], streamed=each) for each in (False, True))
    assert whole == streamed
    assert whole.choices[0].finish_reason == pb.FINISH_REASON_TOOL_CALLS
    thought = whole.choices[0].message.content[0].thinking
    assert (thought.text, thought.redacted, thought.format) == ("Look first.", b"gAAAAsealed", "openai-responses-v1")


def test_openais_own_thought_goes_out_as_it_came() -> None:
    reply = answer_of_route([REASONING, MESSAGE], streamed=False)
    output = json.loads(encode_response(opened_body({"input": "x"}), reply, CONTEXT))["output"]
    assert output[0]["encrypted_content"] == "gAAAAsealed"


@pytest.mark.parametrize(
    "last",
    [
        {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "slow"}}},
        {"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None},
        {"type": "error", "error": {"type": "too_many_requests", "code": "rate_limit_exceeded", "message": "slow"}},
    ],
)
@pytest.mark.parametrize("side", ["stream", "observe"])
def test_a_failure_in_a_stream_keeps_its_reason(side: str, last: dict[str, Any]) -> None:
    decoder = getattr(PROVIDER, side)(target("openai"), CONTEXT)
    with pytest.raises(GatewayError) as caught:
        decoder.feed(Event(last["type"], json.dumps(last).encode(), b""))
    assert (caught.value.kind, caught.value.message) == (Kind.RATE_LIMITED, "slow")


@pytest.mark.parametrize("side", ["stream", "observe"])
def test_a_stream_without_its_last_event_is_broken(side: str) -> None:
    decoder = getattr(PROVIDER, side)(target("openai"), CONTEXT)
    for raw in events(MESSAGE)[:-1]:
        for event in Parser().feed(raw):
            decoder.feed(event)
    with pytest.raises(GatewayError) as caught:
        decoder.close()
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize(
    ("base_url", "url", "model"),
    [
        ("https://r.example/openai/v1", "https://r.example/openai/v1/responses", "m"),
        (
            "https://r.example/openai/deployments/my%20gpt",
            "https://r.example/openai/responses?api-version=2025-04-01",
            "my gpt",
        ),
    ],
)
def test_azure_has_one_path_for_all_deployments(base_url: str, url: str, model: str) -> None:
    query: dict[str, Any] = (
        {"query": {"api-version": "2025-04-01"}, "deployment": "my gpt"} if "deployments" in base_url else {}
    )
    to = Target(PROVIDERS["azure"], "m", base_url, query)
    assert PROVIDER.patch is not None
    call = PROVIDER.patch(opened_body({"input": "x"}), to)
    assert (call.url, msgspec.json.decode(call.body)["model"]) == (url, model)
    assert PROVIDER.offered(to)
    assert not PROVIDER.offered(Target(PROVIDERS["azure"], "m", base_url, {"query": {"api-version": "2024-10-21"}}))


@pytest.mark.parametrize(
    ("provider", "effort", "left_out"),
    [
        ("anthropic", "low", ("verbosity",)),
        ("anthropic", "unheard", ("verbosity", "reasoning_effort")),
        ("cohere", "high", ("verbosity",)),
        ("cohere", "low", ("verbosity", "reasoning_effort")),
        ("local", "low", ("verbosity", "reasoning_effort")),
        ("groq", "low", ()),
        ("openai", "low", ()),
    ],
)
def test_how_much_to_think_and_to_say_goes_where_a_provider_has_a_word_for_it(
    provider: str, effort: str, left_out: tuple[str, ...]
) -> None:
    body = {"input": "x", "text": {"verbosity": "low"}, "reasoning": {"effort": effort}}
    assert CLIENT.leaves is not None
    assert CLIENT.leaves(request_of(body), target(provider)) == left_out
    sent = json.dumps(sent_by(body, provider))
    assert [word for word in ("verbosity", "effort") if word in sent] == [
        word
        for word, name in (("verbosity", "verbosity"), ("effort", "reasoning_effort"))
        if name not in left_out and (provider, word) != ("cohere", "effort")  # there it is `thinking`
    ]


@pytest.mark.parametrize("provider", ["groq", "openai", "cohere", "anthropic"])
def test_a_picture_in_a_result_goes_where_the_provider_has_a_place_for_it(provider: str) -> None:
    """Codex looks at pictures by a tool. In chat completions a result is text, so they follow in a message of the user."""
    picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    calls = [{"type": "function_call", "call_id": f"c{n}", "name": "view", "arguments": "{}"} for n in (1, 2)]
    results: list[dict[str, Any]] = [
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "seen"}, picture]},
        {"type": "function_call_output", "call_id": "c2", "output": [picture]},
    ]
    sent = sent_by({"input": [{"role": "user", "content": "look"}, *calls, *results]}, provider)["messages"]
    if provider == "anthropic":
        assert [block["content"][-1]["type"] for block in sent[-1]["content"]] == ["image", "image"]
        return
    assert [turn["role"] for turn in sent] == ["user", "assistant", "tool", "tool", "user"]
    texts = [turn["content"] if isinstance(turn["content"], str) else turn["content"][0]["text"] for turn in sent[2:4]]
    assert texts == ["seen", "(see the attachment in the next message)"]
    last = json.dumps(sent[-1])
    assert (last.count("iVBORw0KGgo="), "c1" in last, "c2" in last) == (2, True, True)
