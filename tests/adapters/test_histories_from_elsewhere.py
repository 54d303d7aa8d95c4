"""Histories that another provider began, at providers that want more of them: typed, and in bodies that pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS, Context, Target, Task
from adapters.providers import PROVIDERS

CONTEXT = Context(0, lambda prefix: prefix + "1")
SIDE = FORMATS["openai"].provider[Task.CHAT]
CLIENT = FORMATS["openai"].client[Task.CHAT]
USER = {"role": "user", "content": "hi"}
UNCHECKED = {"google": {"thought_signature": "skip_thought_signature_validator"}}


def call(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}, **more}


def called(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def result(id_: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": "42"}


def sent(provider: str, model: str, *history: dict[str, Any], **members: Any) -> list[list[dict[str, Any]]]:
    """The messages as they go out: of a body that passes, and of the same one read and written."""
    body = json.dumps({"model": "r", "messages": [USER, *history], **members}).encode()
    target = Target(PROVIDERS[provider], model, "http://127.0.0.1:1")
    envelope = CLIENT.open(body)
    assert SIDE.patch is not None
    passed = SIDE.patch(envelope, target)
    written = SIDE.encode(CLIENT.decode_request(envelope), target, False, CONTEXT)
    return [json.loads(each.body)["messages"][1:] for each in (passed, written)]


@pytest.mark.parametrize(
    ("model", "members"),
    [
        ("deepseek-reasoner", {}),
        ("deepseek-v4-pro", {}),
        ("deepseek-chat", {"thinking": {"type": "enabled"}}),
    ],
)
def test_deepseek_gets_an_empty_thought_with_a_call_that_has_none(model: str, members: dict[str, Any]) -> None:
    history = [called(call("a")), result("a"), {"role": "assistant", "content": "42."}, USER]
    for messages in sent("deepseek", model, *history, **members):
        assert [message.get("reasoning_content") for message in messages] == ["", None, "", None]
        assert {**messages[0], "reasoning_content": None} == {**history[0], "reasoning_content": None}


def test_deepseeks_own_thoughts_stay() -> None:
    for messages in sent("deepseek", "deepseek-v4-pro", called(call("a"), reasoning_content="hm"), result("a")):
        assert messages[0]["reasoning_content"] == "hm"


@pytest.mark.parametrize(
    ("model", "history", "members"),
    [
        ("deepseek-chat", [called(call("a")), result("a")], {}),
        ("deepseek-v4-pro", [called(call("a")), result("a")], {"thinking": {"type": "disabled"}}),
        ("deepseek-v4-pro", [{"role": "assistant", "content": "No call."}, USER], {}),
    ],
    ids=("chat", "off", "no-call"),
)
def test_where_deepseek_wants_none_nothing_is_added(
    model: str, history: list[dict[str, Any]], members: dict[str, Any]
) -> None:
    for messages in sent("deepseek", model, *history, **members):
        assert messages == history


def test_gemini_gets_the_signature_for_calls_of_other_models_with_the_first_of_each_turn() -> None:
    history = [called(call("a"), call("b")), result("a"), result("b"), called(call("c")), result("c")]
    for messages in sent("gemini", "gemini-3-pro-preview", *history):
        calls = [made for message in messages for made in message.get("tool_calls", ())]
        assert [made.get("extra_content") for made in calls] == [UNCHECKED, None, UNCHECKED]


def test_geminis_own_signatures_stay() -> None:
    own = {"google": {"thought_signature": "c2lnbmVk"}}
    history = [called(call("a", extra_content=own), call("b")), result("a"), result("b")]
    for messages in sent("gemini", "gemini-3-pro-preview", *history):
        assert [made.get("extra_content") for made in messages[0]["tool_calls"]] == [own, None]


def test_what_else_stands_beside_a_signature_stays() -> None:
    for messages in sent("gemini", "gemini-3-pro", called(call("a", extra_content={"google": {"x": 1}})), result("a")):
        assert messages[0]["tool_calls"][0]["extra_content"]["google"] == {"x": 1, **UNCHECKED["google"]}


@pytest.mark.parametrize(("provider", "model"), [("gemini", "gemini-2.5-flash"), ("openai", "gpt-5"), ("groq", "m")])
def test_other_models_get_no_signature(provider: str, model: str) -> None:
    history = [called(call("a")), result("a")]
    for messages in sent(provider, model, *history):
        assert messages == history


EMPTY: list[dict[str, Any]] = [
    {"role": "assistant", "content": ""},
    {"role": "assistant", "content": None},
    {"role": "assistant", "content": []},
    {"role": "assistant"},
    {"role": "assistant", "content": None, "reasoning_content": "All thought, and cut."},
    {"role": "assistant", "content": "", "tool_calls": []},
]


@pytest.mark.parametrize("turn", EMPTY, ids=str)
def test_mistral_gets_no_turn_that_says_nothing(turn: dict[str, Any]) -> None:
    for messages in sent("mistral", "m", turn, USER):
        assert messages == [USER]


@pytest.mark.parametrize("turn", EMPTY, ids=str)
def test_cohere_gets_no_turn_that_says_nothing(turn: dict[str, Any]) -> None:
    target = Target(PROVIDERS["cohere"], "m", "http://127.0.0.1:1")
    body = json.dumps({"model": "r", "messages": [USER, {**turn, "reasoning_content": None}, USER]}).encode()
    request = CLIENT.decode_request(CLIENT.open(body))
    out = FORMATS["cohere"].provider[Task.CHAT].encode(request, target, False, CONTEXT)
    assert json.loads(out.body)["messages"] == [USER, USER]


def test_mistral_keeps_turns_that_call() -> None:
    for messages in sent("mistral", "m", called(call("abcdefghi")), result("abcdefghi")):
        assert [message["role"] for message in messages] == ["assistant", "tool"]


@pytest.mark.parametrize("provider", ["openai", "groq", "deepseek", "openai-compatible", "vllm"])
def test_a_typed_turn_that_says_nothing_has_content_all_the_same(provider: str) -> None:
    _, messages = sent(provider, "m", {"role": "assistant"}, USER)
    assert messages == [{"role": "assistant", "content": ""}, USER]


MALFORMED = ["nonsense", '{"q": ', "[1]", '"text"', "{} {}", "null", '{"q": "a\nb"}']
READS_ARGUMENTS = ["gemini", "vllm", "sglang", "llama.cpp", "ollama", "lm-studio"]


def with_arguments(text: str) -> dict[str, Any]:
    return called(call("a"), {"id": "b", "type": "function", "function": {"name": "f", "arguments": text}})


@pytest.mark.parametrize("provider", READS_ARGUMENTS)
@pytest.mark.parametrize("text", MALFORMED)
def test_arguments_that_are_no_object_go_as_a_member_of_one_where_they_are_read(provider: str, text: str) -> None:
    for messages in sent(provider, "m", with_arguments(text), result("a"), result("b")):
        first, second = (made["function"]["arguments"] for made in messages[0]["tool_calls"])
        assert first == "{}"
        assert json.loads(second) == {"_malformed_arguments": text}


@pytest.mark.parametrize("provider", READS_ARGUMENTS)
def test_no_arguments_are_an_empty_object_where_they_are_read(provider: str) -> None:
    for messages in sent(provider, "m", with_arguments(""), result("a"), result("b")):
        assert [made["function"]["arguments"] for made in messages[0]["tool_calls"]] == ["{}", "{}"]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_body_says_that_its_arguments_go_in_another_form(text: str) -> None:
    body = json.dumps({"model": "r", "messages": [USER, with_arguments(text), result("a"), result("b")]}).encode()
    target = Target(PROVIDERS["vllm"], "m", "http://127.0.0.1:1")
    envelope = CLIENT.open(body)
    assert SIDE.patch is not None
    for made in (SIDE.patch(envelope, target), SIDE.encode(CLIENT.decode_request(envelope), target, False, CONTEXT)):
        assert made.left_out == ("messages[].tool_calls[].function.arguments",)


@pytest.mark.parametrize("text", ['{"q": 1.0e5}', "{}", ' {"q":"é"} '])
def test_objects_keep_their_bytes(text: str) -> None:
    messages = json.dumps([USER, with_arguments(text), result("a")], ensure_ascii=False).encode()
    body = b'{"model":"r","messages": ' + messages + b"}"
    envelope = CLIENT.open(body)
    assert SIDE.patch is not None
    assert messages in SIDE.patch(envelope, Target(PROVIDERS["vllm"], "m", "http://127.0.0.1:1")).body


@pytest.mark.parametrize("text", MALFORMED)
def test_openai_gets_what_the_model_wrote(text: str) -> None:
    for messages in sent("openai", "m", with_arguments(text), result("a"), result("b")):
        assert messages[0] == with_arguments(text)


@pytest.mark.parametrize("text", [*MALFORMED, ""])
def test_cohere_gets_an_object(text: str) -> None:
    body = json.dumps({"model": "r", "messages": [USER, with_arguments(text), result("a"), result("b")]}).encode()
    request = CLIENT.decode_request(CLIENT.open(body))
    target = Target(PROVIDERS["cohere"], "m", "http://127.0.0.1:1")
    made = FORMATS["cohere"].provider[Task.CHAT].encode(request, target, False, CONTEXT)
    written = json.loads(json.loads(made.body)["messages"][1]["tool_calls"][1]["function"]["arguments"])
    assert written == ({"_malformed_arguments": text} if text else {})
    assert bool(made.left_out) == bool(text)


USER_BETWEEN: dict[str, dict[str, Any]] = {
    "responses": {
        "input": [
            {"role": "user", "content": "q"},
            *({"type": "function_call", "call_id": id_, "name": "f", "arguments": "{}"} for id_ in "ab"),
            {"type": "function_call_output", "call_id": "b", "output": "of b"},
            {"role": "user", "content": "note"},
            {"type": "function_call_output", "call_id": "a", "output": ""},
        ]
    },
    "anthropic": {
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": id_, "name": "f", "input": {}} for id_ in "ab"],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "b", "content": "of b"}]},
            {
                "role": "user",
                "content": [{"type": "text", "text": "note"}, {"type": "tool_result", "tool_use_id": "a"}],
            },
        ],
    },
}


@pytest.mark.parametrize("provider", ["openai", "vllm", "cohere", "anthropic"])
@pytest.mark.parametrize("door", USER_BETWEEN)
def test_results_stand_directly_behind_their_calls(door: str, provider: str) -> None:
    """Callers of both doors may write something else in between; chat completions and Cohere refuse that, and Anthropic wants
    results first."""
    side = FORMATS[door].client[Task.CHAT]
    target = Target(PROVIDERS[provider], "m", "http://127.0.0.1:1")
    request = side.decode_request(side.open(json.dumps({"model": "r", **USER_BETWEEN[door]}).encode()))
    fitted = request if side.fit is None else side.fit(request, target)
    made = FORMATS[target.provider.format].provider[Task.CHAT].encode(fitted, target, False, CONTEXT)
    messages = json.loads(made.body)["messages"]
    if provider == "anthropic":
        assert [block.get("tool_use_id") for block in messages[2]["content"]] == ["b", "a", None]
        return
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user"]
    assert [(message["tool_call_id"], message["content"]) for message in messages[2:4]] == [("b", "of b"), ("a", "")]
